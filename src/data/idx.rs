//! IDX, the file format of the MNIST family: plain, or packed with gzip (told by its first two bytes, not by its name).
//!
//! ```text
//! byte   0  1   2          3           4 ..                                        then
//!       00 00   type code  dimensions  each dimension as a big-endian 32-bit size   the elements, last index fastest
//! ```
//! Only unsigned bytes (type code 08) are read: no data set that Tilelab trains on holds anything else.
//!
//! The reader is strict, because a wrong file that loads is a wrong figure later: magic, type, number of bytes and the
//! checksum of gzip must all be right, and no byte may follow. It allocates for what a file holds, never for what its
//! header promises.

use std::io::{self, Read, Write};

use flate2::{Compression, GzBuilder, bufread::MultiGzDecoder};

/// First bytes of a gzip file (RFC 1952, 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// IDX type code of unsigned bytes.
const UNSIGNED_BYTE: u8 = 0x08;
/// Deflate's largest expansion: a 258-byte match costs at least two bits (RFC 1951, 3.2.5).
const DEFLATE_MAX_EXPANSION: u64 = 1032;

/// Why bytes are not an IDX array of unsigned bytes. The text continues "FILE: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdxError {
    /// The first two bytes are not zero.
    #[error("is not an IDX file: it begins with {0:02x} {1:02x}, not 00 00")]
    Magic(u8, u8),
    /// The elements are not unsigned bytes.
    #[error("holds elements of IDX type {0:#04x}; only unsigned bytes, 0x08, are read")]
    TypeCode(u8),
    /// The header has no dimension, or more than the format can say.
    #[error("has {0} dimensions in its IDX header; 1 to 255 are possible")]
    Dimensions(usize),
    /// The product of the dimensions overflows.
    #[error("has an IDX header with the absurd dimensions {0:?}")]
    Absurd(Vec<u32>),
    /// The file ends inside its header.
    #[error("is truncated: it ends after {0} bytes, inside its IDX header")]
    TruncatedHeader(usize),
    /// The file ends before its last element.
    #[error("is truncated: its IDX header promises {expected} elements, but it holds {}", at_most(.got))]
    Truncated {
        /// Elements promised by the header.
        expected: u64,
        /// Elements there; `None` if the file is so short that they were not even unpacked.
        got: Option<u64>,
    },
    /// Bytes follow the last element.
    #[error("holds more than the {0} elements that its IDX header promises")]
    Trailing(u64),
    /// The gzip stream is damaged: garbage, a wrong checksum, or something behind its end.
    #[error("is a damaged gzip file ({0})")]
    Gzip(String),
}

fn at_most(got: &Option<u64>) -> String {
    got.map_or("far fewer".to_string(), |got| got.to_string())
}

/// An array of unsigned bytes, row-major: the last dimension varies fastest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    dimensions: Vec<u32>,
    data: Vec<u8>,
}

impl Idx {
    /// An array from its parts.
    ///
    /// # Errors
    /// No dimension or more than 255, or `data` is not as long as the product of the dimensions.
    pub fn new(dimensions: Vec<u32>, data: Vec<u8>) -> Result<Self, IdxError> {
        let expected = elements(&dimensions)?;
        let got = data.len() as u64;
        match got.cmp(&expected) {
            std::cmp::Ordering::Less => Err(IdxError::Truncated {
                expected,
                got: Some(got),
            }),
            std::cmp::Ordering::Greater => Err(IdxError::Trailing(expected)),
            std::cmp::Ordering::Equal => Ok(Self { dimensions, data }),
        }
    }

    /// Reads a whole file, plain or gzip.
    ///
    /// ```
    /// use tilelab::data::idx::Idx;
    /// let labels = Idx::parse(&[0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 4])?;
    /// assert_eq!((labels.dimensions(), labels.data()), (&[3][..], &[9, 0, 4][..]));
    /// # Ok::<(), tilelab::data::idx::IdxError>(())
    /// ```
    ///
    /// # Errors
    /// Anything but a complete IDX array of unsigned bytes with nothing behind it; see [`IdxError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, IdxError> {
        let length = bytes.len() as u64;
        if bytes.starts_with(&GZIP_MAGIC) {
            read(MultiGzDecoder::new(bytes), length.saturating_mul(DEFLATE_MAX_EXPANSION))
        } else {
            read(bytes, length)
        }
    }

    /// Sizes, outermost first: `[images, height, width]` or `[labels]`.
    pub fn dimensions(&self) -> &[u32] {
        &self.dimensions
    }

    /// The elements, last dimension fastest.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Gives the elements away.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The first `rows` entries of the outermost dimension, or all of them where there are fewer.
    pub fn head(&self, rows: u32) -> Self {
        let mut dimensions = self.dimensions.clone();
        let stride = dimensions[1..].iter().map(|&size| size as usize).product::<usize>();
        dimensions[0] = dimensions[0].min(rows);
        let data = self.data[..dimensions[0] as usize * stride].to_vec();
        Self { dimensions, data }
    }

    /// The file that [`Idx::parse`] reads back. There is one encoding only, so equal arrays give equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.header();
        bytes.extend_from_slice(&self.data);
        bytes
    }

    /// The header alone, so that a file can be hashed without a second copy of its elements.
    pub fn header(&self) -> Vec<u8> {
        // `elements` allowed at most 255 dimensions.
        let mut bytes = vec![0, 0, UNSIGNED_BYTE, self.dimensions.len() as u8];
        bytes.extend(self.dimensions.iter().flat_map(|size| size.to_be_bytes()));
        bytes
    }

    /// The same packed with gzip: no time stamp and no name inside, so one version of flate2 always gives the same bytes.
    ///
    /// # Errors
    /// None in practice: it writes to memory.
    pub fn encode_gz(&self) -> io::Result<Vec<u8>> {
        let mut packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        packed.write_all(&self.encode())?;
        packed.finish()
    }
}

/// Number of elements of an array with these dimensions.
fn elements(dimensions: &[u32]) -> Result<u64, IdxError> {
    if dimensions.is_empty() || dimensions.len() > 255 {
        return Err(IdxError::Dimensions(dimensions.len()));
    }
    dimensions
        .iter()
        .try_fold(1u64, |product, &size| product.checked_mul(u64::from(size)))
        .ok_or_else(|| IdxError::Absurd(dimensions.to_vec()))
}

/// Reads an array from unpacked bytes, of which there can be `most` at most.
fn read(mut from: impl Read, most: u64) -> Result<Idx, IdxError> {
    let mut header = Vec::new();
    fill(&mut from, 4, &mut header)?;
    // Judge what is there first: two bytes that are not IDX's say more than "truncated".
    if let [first, second, ..] = header[..]
        && (first, second) != (0, 0)
    {
        return Err(IdxError::Magic(first, second));
    }
    let [_, _, code, count] = header[..] else {
        return Err(IdxError::TruncatedHeader(header.len()));
    };
    if code != UNSIGNED_BYTE {
        return Err(IdxError::TypeCode(code));
    }
    let mut sizes = Vec::new();
    fill(&mut from, u64::from(count) * 4, &mut sizes)?;
    if sizes.len() < usize::from(count) * 4 {
        return Err(IdxError::TruncatedHeader(4 + sizes.len()));
    }
    let dimensions: Vec<u32> = sizes
        .chunks_exact(4)
        .map(|size| u32::from_be_bytes([size[0], size[1], size[2], size[3]]))
        .collect();
    let expected = elements(&dimensions)?;
    if expected > most {
        return Err(IdxError::Truncated { expected, got: None });
    }
    let mut data = Vec::new();
    fill(&mut from, expected, &mut data)?;
    let got = data.len() as u64;
    if got < expected {
        return Err(IdxError::Truncated {
            expected,
            got: Some(got),
        });
    }
    // One read more: gzip compares its checksum only when it is asked for what follows its last byte.
    match from.read(&mut [0]) {
        Ok(0) => Ok(Idx { dimensions, data }),
        Ok(_) => Err(IdxError::Trailing(expected)),
        Err(error) => Err(IdxError::Gzip(error.to_string())),
    }
}

/// Appends up to `count` bytes to `to`; fewer where the file ends, be it by its end or in the middle of a gzip stream.
fn fill(from: &mut impl Read, count: u64, to: &mut Vec<u8>) -> Result<(), IdxError> {
    match from.take(count).read_to_end(to) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        Err(error) => Err(IdxError::Gzip(error.to_string())),
    }
}
