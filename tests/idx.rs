//! Promise: the IDX reader takes what is right, plain or gzip, and names what is wrong; no bytes make it panic or
//! allocate beyond what is there.
#![allow(clippy::unwrap_used)] // A test may panic.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tilelab::data::idx::{Idx, IdxError};

fn small() -> Idx {
    Idx::new(vec![3, 2, 4], (0..24).map(|value| value * 10).collect()).unwrap()
}

fn gz(array: &Idx) -> Vec<u8> {
    array.encode_gz().unwrap()
}

#[test]
fn plain_and_gzip_read_back_the_same() {
    let array = small();
    assert_eq!(array.encode()[..8], [0, 0, 8, 3, 0, 0, 0, 3]);
    assert_eq!(Idx::parse(&array.encode()).unwrap(), array);
    assert_eq!(Idx::parse(&gz(&array)).unwrap(), array);
    // A gzip file may consist of several members (RFC 1952, 2.2).
    let (front, back) = (gzip(&array.encode()[..20]), gzip(&array.encode()[20..]));
    assert_eq!(Idx::parse(&[front, back].concat()).unwrap(), array);
    assert_eq!(array.head(2).dimensions(), [2, 2, 4]);
    assert_eq!(array.head(2).data(), &array.data()[..16]);
    assert_eq!(array.head(9), array);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// The same wrong content plain and packed gives the same error.
fn wrong(bytes: &[u8]) -> IdxError {
    let plain = Idx::parse(bytes).unwrap_err();
    assert_eq!(Idx::parse(&gzip(bytes)).unwrap_err(), plain);
    plain
}

#[test]
fn wrong_headers_are_named() {
    assert_eq!(wrong(b""), IdxError::TruncatedHeader(0));
    assert_eq!(wrong(&[0, 0, 8]), IdxError::TruncatedHeader(3));
    assert_eq!(wrong(&[0, 0, 8, 2, 0, 0, 0, 3, 0]), IdxError::TruncatedHeader(9));
    assert_eq!(wrong(b"PK\x03\x04"), IdxError::Magic(b'P', b'K'));
    assert_eq!(wrong(&[0, 0, 0x0d, 1, 0, 0, 0, 0]), IdxError::TypeCode(0x0d));
    assert_eq!(wrong(&[0, 0, 8, 0]), IdxError::Dimensions(0));
}

#[test]
fn wrong_lengths_are_named() {
    let whole = small().encode();
    let short = &whole[..whole.len() - 1];
    assert_eq!(wrong(&[&whole[..], &[0]].concat()), IdxError::Trailing(24));
    let truncated = |expected, got| IdxError::Truncated {
        expected,
        got: Some(got),
    };
    assert_eq!(wrong(short), truncated(24, 23));
    assert_eq!(Idx::new(vec![5], vec![0; 4]), Err(truncated(5, 4)));
    assert_eq!(Idx::new(vec![5], vec![0; 6]), Err(IdxError::Trailing(5)));
}

#[test]
fn absurd_dimensions_do_not_allocate() {
    // 2^32 - 1 cubed overflows 64 bits; squared it does not, but no file this short can hold it.
    let cubed = [&[0, 0, 8, 3][..], &[0xff; 12]].concat();
    assert_eq!(wrong(&cubed), IdxError::Absurd(vec![u32::MAX; 3]));
    let squared = [&[0, 0, 8, 2][..], &[0xff; 8]].concat();
    let expected = u64::from(u32::MAX).pow(2);
    assert_eq!(wrong(&squared), IdxError::Truncated { expected, got: None });
}

#[test]
fn damaged_gzip_is_named() {
    let whole = gz(&small());
    let last = whole.len() - 1;
    for (what, bytes) in [
        ("checksum", flipped(&whole, last - 5)),
        ("length", flipped(&whole, last)),
        ("method", flipped(&whole, 2)),
        ("block type", [&whole[..10], &[0xff; 20]].concat()),
        (
            "garbage behind",
            [&whole[..], b"garbage that is no gzip member"].concat(),
        ),
        ("end cut off", whole[..last].to_vec()),
    ] {
        let error = Idx::parse(&bytes).unwrap_err();
        assert!(matches!(error, IdxError::Gzip(_)), "{what}: {error}");
    }
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x40;
    bytes
}

/// Whatever is read is consistent, and reads back: so nothing else can be read.
fn check(bytes: &[u8]) {
    if let Ok(array) = Idx::parse(bytes) {
        let product: u64 = array.dimensions().iter().map(|&size| u64::from(size)).product();
        assert_eq!(product, array.data().len() as u64);
        assert_eq!(Idx::parse(&array.encode()).unwrap(), array);
    }
}

#[test]
fn no_mutation_or_truncation_panics() {
    for valid in [small().encode(), gz(&small())] {
        for length in 0..valid.len() {
            assert!(
                Idx::parse(&valid[..length]).is_err(),
                "cut to {length} of {} bytes",
                valid.len()
            );
        }
        for at in 0..valid.len() {
            for value in 0..=255 {
                let mut bytes = valid.clone();
                bytes[at] = value;
                check(&bytes);
            }
        }
        let mut random = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..20_000 {
            let mut bytes = valid.clone();
            for _ in 0..random.random_range(1..6) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
            bytes.truncate(random.random_range(0..=bytes.len()));
            check(&bytes);
        }
    }
}
