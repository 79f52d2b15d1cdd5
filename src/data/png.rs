//! One PNG image as a row of a data set: grey, 0 to 255, without its alpha.

use std::io::Cursor;

use png::{ColorType, Decoder, Transformations};

/// First bytes of a PNG file.
pub const MAGIC: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// A grey image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grey {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Row by row.
    pub pixels: Vec<u8>,
}

/// Decodes a PNG file of any colour type: colours become luma (ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B), and what is
/// transparent shows black, the background of the data sets here. `accept` judges the size before anything is unpacked.
///
/// # Errors
/// What is wrong with it, to stand behind the file's name.
pub fn grey(bytes: &[u8], accept: impl Fn((u32, u32)) -> Result<(), String>) -> Result<Grey, String> {
    let damaged = |error: png::DecodingError| format!("is damaged or no PNG ({error})");
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(damaged)?;
    let size = (reader.info().width, reader.info().height);
    accept(size)?;
    let bytes = reader.output_buffer_size().ok_or_else(|| "is too large".to_owned())?;
    let mut samples = vec![0; bytes];
    let frame = reader.next_frame(&mut samples).map_err(damaged)?;
    // What follows the image is checked too: a cut file ends early.
    reader.finish().map_err(damaged)?;
    let samples = &samples[..frame.buffer_size()];
    let seen = |grey: u32, alpha: u8| ((grey * u32::from(alpha) + 127) / 255) as u8;
    let luma = |p: &[u8]| (299 * u32::from(p[0]) + 587 * u32::from(p[1]) + 114 * u32::from(p[2]) + 500) / 1000;
    let pixels = match frame.color_type {
        ColorType::Grayscale => samples.to_vec(),
        ColorType::GrayscaleAlpha => samples.chunks_exact(2).map(|p| seen(u32::from(p[0]), p[1])).collect(),
        ColorType::Rgb => samples.chunks_exact(3).map(|p| luma(p) as u8).collect(),
        ColorType::Rgba => samples.chunks_exact(4).map(|p| seen(luma(p), p[3])).collect(),
        ColorType::Indexed => return Err("has a palette that could not be unpacked".to_owned()),
    };
    Ok(Grey { size, pixels })
}

/// A grey image as a PNG file.
///
/// # Errors
/// When the pixels are not as many as the size says.
pub fn encode(image: &Grey) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.size.0, image.size.1);
    encoder.set_color(ColorType::Grayscale);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&image.pixels)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(color: ColorType, samples: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 3, 1);
        encoder.set_color(color);
        encoder.write_header().unwrap().write_image_data(samples).unwrap();
        bytes
    }

    #[test]
    fn every_colour_type_becomes_grey() {
        let grey = |color, samples: &[u8]| grey(&encoded(color, samples), |_| Ok(())).unwrap().pixels;
        assert_eq!(grey(ColorType::Grayscale, &[0, 7, 255]), [0, 7, 255]);
        assert_eq!(
            grey(ColorType::GrayscaleAlpha, &[200, 255, 200, 0, 200, 128]),
            [200, 0, 100]
        );
        assert_eq!(
            grey(ColorType::Rgb, &[255, 255, 255, 255, 0, 0, 0, 0, 255]),
            [255, 76, 29]
        );
        assert_eq!(
            grey(ColorType::Rgba, &[0, 255, 0, 255, 9, 9, 9, 255, 9, 9, 9, 0]),
            [150, 9, 0]
        );
    }

    #[test]
    fn what_is_no_png_is_refused() {
        let whole = encoded(ColorType::Rgb, &[1; 9]);
        for cut in 0..whole.len() {
            assert!(grey(&whole[..cut], |_| Ok(())).is_err(), "cut at {cut}");
        }
        let refused = grey(&whole, |size| Err(format!("has {size:?}")));
        assert_eq!(refused, Err("has (3, 1)".to_owned()));
    }
}
