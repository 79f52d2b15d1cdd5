//! Instruction sets. The only place that asks the CPU what it has.

use std::fmt;
use std::str::FromStr;

use crate::ContextError;

/// An instruction set that the kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isa {
    /// AVX-512 F, DQ, BW and VL, with AVX2 and FMA: 512-bit vectors, 32 registers, masks.
    Avx512,
    /// AVX2 and FMA: 256-bit vectors, 16 registers.
    Avx2,
    /// Plain Rust over 512 bits' worth of lanes, on any machine.
    Portable,
}

impl Isa {
    /// All of them, fastest first.
    pub const ALL: [Isa; 3] = [Isa::Avx512, Isa::Avx2, Isa::Portable];

    /// Short name, as in kernel ids and `TILELAB_ISA`.
    pub const fn id(self) -> &'static str {
        match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Portable => "portable",
        }
    }

    /// Whether this CPU, under this system, can run it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => crate::simd::Avx512::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => crate::simd::Avx2::new().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => false,
            Isa::Portable => true,
        }
    }

    /// Those that can run here, fastest first.
    pub fn available() -> Vec<Isa> {
        Self::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The one that `TILELAB_ISA` names, else the fastest that can run here.
    ///
    /// # Errors
    /// When the variable names nothing, or an ISA that this CPU lacks: a forced ISA is never replaced in silence.
    pub fn selected() -> Result<Isa, ContextError> {
        match std::env::var("TILELAB_ISA") {
            Ok(name) if !name.is_empty() => name.parse::<Isa>()?.require(),
            _ => Ok(Self::available()[0]), // portable is always there
        }
    }

    /// Itself if it can run here.
    ///
    /// # Errors
    /// [`ContextError::MissingIsa`] otherwise.
    pub fn require(self) -> Result<Isa, ContextError> {
        if self.is_available() {
            return Ok(self);
        }
        let available: Vec<_> = Self::available().into_iter().map(Isa::id).collect();
        Err(ContextError::MissingIsa {
            isa: self,
            available: available.join(", "),
        })
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Isa {
    type Err = ContextError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|isa| isa.id() == name)
            .ok_or_else(|| ContextError::UnknownIsa(name.to_owned()))
    }
}
