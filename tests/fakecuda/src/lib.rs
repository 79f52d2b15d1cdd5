//! A stand-in libcuda: the calls that tilelab-kernels makes of the driver, over the PTX interpreter.
//!
//! Nothing runs when it is launched. Streams are queues, and whenever somebody waits, work is taken from any stream whose next
//! piece no event holds back, in an order that a seed decides: a wait that was forgotten gives wrong numbers. Copies from the
//! host read its memory when their turn comes, and a buffer that was written or freed before is a finding. Whatever is found
//! is printed, and from then on every call fails, as after a fault of a card. A launch beyond the limits of a card is refused.
//! It stands in for cuBLAS too, where a test gives it that name.
//!
//! | variable | meaning |
//! |---|---|
//! | `FAKECUDA_CAPABILITY` | 10 * major + minor; 86 without it |
//! | `FAKECUDA_BYTES` | memory of the card; 1 GiB without it |
//! | `FAKECUDA_L2` | bytes of its second-level cache; 1 MiB without it |
//! | `FAKECUDA_SEED` | decides the order of streams, blocks, warps and lanes; 0 without it |
//! | `FAKECUDA_FORGET` | a call that does nothing: the host behaves as if it had forgotten it |
//! | `FAKECUDA_PIECE_US` | microseconds that a piece of work takes by its events; 1 without it |
//! | `FAKECUDA_VERSION` | what the driver says it knows; 12000 without it |

mod calls;
mod card;
mod cublas;
mod limits;
