//! `--shapes`: which products to time, such as `1024,256x10x256`.

use std::fmt;
use std::str::FromStr;

use super::Usage;

/// Most elements that one operand may have: 4 GiB of f32. Beyond it, an operand would not fit next to the others.
const MOST_ELEMENTS: usize = 1 << 30;

/// A product of A, m x k, with B, k x n, into C, m x n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
}

impl Shape {
    /// `side` x `side` x `side`.
    pub fn cube(side: usize) -> Self {
        Self {
            m: side,
            n: side,
            k: side,
        }
    }

    /// Floating-point operations of the product, a multiplication and an addition each: 2 m n k.
    pub fn flops(self) -> f64 {
        2.0 * self.m as f64 * self.n as f64 * self.k as f64
    }
}

/// `1024 cubed` or `256x10x256`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { m, n, k } = self;
        if m == n && n == k {
            write!(f, "{m} cubed")
        } else {
            write!(f, "{m}x{n}x{k}")
        }
    }
}

impl FromStr for Shape {
    type Err = Usage;

    fn from_str(text: &str) -> Result<Self, Usage> {
        let wrong = |why: String| {
            Usage(format!(
                "--shapes: {text:?} {why}; write 1024 for a cube, 256x10x784 for m x n x k"
            ))
        };
        let side = |part: &str| match part.parse::<usize>() {
            Ok(0) => Err(wrong("has a side of 0".into())),
            Ok(side) => Ok(side),
            Err(_) => Err(wrong(format!("has {part:?} where a whole number should be"))),
        };
        let sides = text
            .split(['x', 'X'])
            .map(|part| side(part.trim()))
            .collect::<Result<Vec<_>, _>>()?;
        let shape = match sides[..] {
            [side] => Self::cube(side),
            [m, n, k] => Self { m, n, k },
            _ => return Err(wrong(format!("has {} sides", sides.len()))),
        };
        let operands = [(shape.m, shape.k), (shape.k, shape.n), (shape.m, shape.n)];
        if operands
            .iter()
            .any(|(rows, cols)| rows.checked_mul(*cols).is_none_or(|elements| elements > MOST_ELEMENTS))
        {
            return Err(wrong(format!("has an operand of more than {MOST_ELEMENTS} elements")));
        }
        Ok(shape)
    }
}

/// A product and how its operands lie: `784x256x256:ta` has A in memory as its transpose, `:tb` B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Product {
    /// Its sizes.
    pub shape: Shape,
    /// A lies k x m, row-major.
    pub a_transposed: bool,
    /// B lies n x k, row-major.
    pub b_transposed: bool,
}

impl From<Shape> for Product {
    fn from(shape: Shape) -> Self {
        Self {
            shape,
            a_transposed: false,
            b_transposed: false,
        }
    }
}

/// `784x256x256 A^T`.
impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let a = if self.a_transposed { " A^T" } else { "" };
        let b = if self.b_transposed { " B^T" } else { "" };
        write!(f, "{}{a}{b}", self.shape)
    }
}

impl FromStr for Product {
    type Err = Usage;

    fn from_str(text: &str) -> Result<Self, Usage> {
        let mut parts = text.split(':');
        let mut product = Self::from(parts.next().unwrap_or_default().parse::<Shape>()?);
        for part in parts {
            match part {
                "ta" => product.a_transposed = true,
                "tb" => product.b_transposed = true,
                _ => {
                    return Err(Usage(format!(
                        "--shapes: {text:?} has {part:?} where :ta or :tb (A or B transposed) may be"
                    )));
                }
            }
        }
        Ok(product)
    }
}

/// The argument of `--shapes`: products with commas between them, none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shapes(pub Vec<Product>);

impl FromStr for Shapes {
    type Err = Usage;

    fn from_str(text: &str) -> Result<Self, Usage> {
        let mut shapes: Vec<Product> = Vec::new();
        for part in text.split(',') {
            let shape = part.trim().parse()?;
            if shapes.contains(&shape) {
                return Err(Usage(format!("--shapes: {shape} is there twice")));
            }
            shapes.push(shape);
        }
        Ok(Self(shapes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cubes_and_sides() {
        let Shapes(shapes) = "1024, 1025,256x10x784".parse().unwrap();
        assert_eq!(
            shapes,
            [Shape::cube(1024), Shape::cube(1025), Shape { m: 256, n: 10, k: 784 }].map(Product::from)
        );
        assert_eq!(shapes[2].shape.flops(), 2.0 * 256.0 * 10.0 * 784.0);
        assert_eq!(
            (shapes[0].to_string(), shapes[2].to_string()),
            ("1024 cubed".into(), "256x10x784".into())
        );
        assert_eq!("7X7X7".parse::<Shapes>().unwrap().0, [Shape::cube(7).into()]);
        let Shapes(shapes) = "784x256x256:ta,64:ta:tb".parse().unwrap();
        assert_eq!(shapes[0].to_string(), "784x256x256 A^T");
        assert_eq!(shapes[1].to_string(), "64 cubed A^T B^T");
        assert!("64:tc".parse::<Shapes>().unwrap_err().to_string().contains("\"tc\""));
    }

    #[test]
    fn what_is_no_shape_is_named() {
        let told = |text: &str| text.parse::<Shapes>().unwrap_err().to_string();
        let way_out = "; write 1024 for a cube, 256x10x784 for m x n x k";
        assert_eq!(told("1024,0"), format!("--shapes: \"0\" has a side of 0{way_out}"));
        assert_eq!(
            told("12x"),
            format!("--shapes: \"12x\" has \"\" where a whole number should be{way_out}")
        );
        assert_eq!(told("3x4"), format!("--shapes: \"3x4\" has 2 sides{way_out}"));
        for bad in [
            "",
            ",",
            "1024,",
            "-1",
            "1.5",
            "1e3",
            "1x2x3x4",
            "99999999999999999999",
            "a\u{0}b",
            "4294967296",
        ] {
            assert!(told(bad).ends_with(way_out), "{bad:?}: {}", told(bad));
        }
        assert_eq!(told("64,32,64x64x64"), "--shapes: 64 cubed is there twice");
        assert!("18446744073709551615x1x2".parse::<Shapes>().is_err(), "m * k overflows");
        assert!("32768".parse::<Shapes>().is_ok());
    }
}
