//! Pointer chases: cycles of addresses through memory in which each load needs the last one's value.
//!
//! ```text
//! line 0      line 1      line 2                 each lap has a word of its own in every line; a lap visits every
//! [a . . .]   [b . . .]   [c . . .]   lap 0      line once, and its last word points to the next lap's first, so
//! [. d . .]   [. e . .]   [. f . .]   lap 1      that all laps together are one cycle with laps * lines words
//! ```
//! Sattolo's algorithm (Sattolo 1986: swap i with a random j < i, never i itself) gives a uniform cyclic permutation;
//! plain shuffling would give cycles of many lengths, and a chase caught in a short one would measure a smaller working
//! set. Within the TLB's reach ([`Order::Windows`]) lines are visited in a random order inside of 128 KiB, window after
//! window in random order, so that page walks cost next to nothing.
#![allow(unsafe_code)] // loads through raw pointers

use std::hint::black_box;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Order in which a lap visits its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Random over all of the working set.
    Random,
    /// Random within windows that the first TLB covers.
    Windows,
}

/// 32 pages of 4 KiB: fewer than any first-level data TLB of the last ten years has entries.
const WINDOW_BYTES: usize = 128 << 10;

/// Lines between the beginnings of walks; a prime, so that it shares no factor with a number of lines.
const ELSEWHERE: usize = 1_000_003;

/// Most words in all laps but the first.
const MANY_WORDS: usize = 1 << 18;

/// A cycle in borrowed memory, and a place on it.
#[derive(Debug)]
pub struct Chain<'a> {
    memory: &'a mut [u64],
    at: *const u64,
    words: usize,
    lines: usize,
    stride_words: usize,
    first_word: usize,
    /// Walks of many places that have begun: each begins elsewhere.
    begun: usize,
}

impl<'a> Chain<'a> {
    /// One cycle over `lines` lines, `stride_words` apart. Where a page is the stride, `skew_words` moves each line
    /// further within its page, so that they do not all fall into one set of a cache.
    ///
    /// # Panics
    /// If the lines do not fit into `memory`, or there are none.
    pub fn new(
        memory: &'a mut [u64],
        lines: usize,
        stride_words: usize,
        skew_words: usize,
        order: Order,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        assert!(
            lines > 0 && stride_words >= 8 && lines * stride_words <= memory.len(),
            "{lines} lines do not fit"
        );
        let laps = (MANY_WORDS / lines).clamp(1, 4);
        let first_word = rng.random_range(0..8);
        let base = memory.as_mut_ptr();
        let place = |line: usize, lap: usize| {
            let skew = if skew_words == 0 {
                0
            } else {
                (line * skew_words % stride_words) & !7
            };
            line * stride_words + skew + (first_word + lap) % 8
        };
        let address = |line: usize, lap: usize| base.wrapping_add(place(line, lap)).expose_provenance() as u64;
        for lap in 0..laps {
            let next = address(0, (lap + 1) % laps);
            match order {
                Order::Random => sattolo(
                    memory,
                    lines,
                    rng,
                    next,
                    |line| place(line, lap),
                    |line| address(line, lap),
                ),
                Order::Windows => {
                    let window = (WINDOW_BYTES / 8 / stride_words).max(1);
                    windows(
                        memory,
                        (lines, window),
                        rng,
                        next,
                        |line| place(line, lap),
                        |line| address(line, lap),
                    );
                }
            }
        }
        let at = base.wrapping_add(place(0, 0)).cast_const();
        Self {
            memory,
            at,
            words: laps * lines,
            lines,
            stride_words,
            first_word,
            begun: 0,
        }
    }

    /// A word of the cycle, for a loop that is compared with ours.
    pub fn place(&self) -> *const u64 {
        self.at
    }

    /// Words on the cycle.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Follows the cycle for `steps` loads, rounded up to 16.
    #[inline(never)]
    pub fn walk(&mut self, steps: usize) {
        let mut at = self.at;
        for _ in 0..steps.div_ceil(16) {
            for _ in 0..16 {
                // SAFETY: `at` is a word of the cycle, whose words all lie in `memory`, borrowed for 'a, and hold the
                // addresses of its words and nothing else: `new` wrote them, and nobody else can.
                at = unsafe { step(at) };
            }
        }
        self.at = black_box(at);
    }

    /// Follows `N` places on the cycle at once for `steps` loads each.
    #[inline(never)]
    pub fn walk_many<const N: usize>(&mut self, steps: usize) {
        let mut at = [self.at; N];
        self.begun += 1;
        for (number, place) in at.iter_mut().enumerate() {
            // Elsewhere each time, or the second walk would find the first one's lines in the caches.
            let line = (number * self.lines / N + self.begun * ELSEWHERE) % self.lines;
            *place = self.memory[line * self.stride_words + self.first_word] as *const u64;
        }
        for _ in 0..steps.div_ceil(4) {
            for _ in 0..4 {
                for place in &mut at {
                    // SAFETY: as in `walk`; a line's first word is a word of the cycle.
                    *place = unsafe { step(*place) };
                }
            }
        }
        self.at = black_box(at)[0];
    }

    /// Steps until the cycle closes, at most `most`; for tests.
    #[cfg(test)]
    fn length(&self, most: usize) -> usize {
        let mut at = self.at;
        for steps in 1..=most {
            // SAFETY: as in `walk`.
            at = unsafe { step(at) };
            if at == self.at {
                return steps;
            }
        }
        most + 1
    }
}

/// One dependent load.
///
/// # Safety
/// `at` points to a word that may be read and holds such an address itself.
#[inline(always)]
unsafe fn step(at: *const u64) -> *const u64 {
    // Volatile: the compiler may neither drop the load nor do it twice.
    // SAFETY: the caller vouches for `at`.
    unsafe { at.cast::<*const u64>().read_volatile() }
}

/// Writes a uniform random cycle over the lines; the word that would close it leads to `next` instead.
fn sattolo(
    memory: &mut [u64],
    lines: usize,
    rng: &mut ChaCha8Rng,
    next: u64,
    place: impl Fn(usize) -> usize,
    address: impl Fn(usize) -> u64,
) {
    for line in 0..lines {
        memory[place(line)] = address(line);
    }
    let first = address(0);
    let mut holder = 0;
    for i in (1..lines).rev() {
        let j = rng.random_range(0..i);
        let (a, b) = (place(i), place(j));
        memory.swap(a, b);
        // Whose word holds line 0's address now?
        if memory[a] == first {
            holder = i;
        } else if memory[b] == first {
            holder = j;
        }
    }
    memory[place(holder)] = next;
}

/// Writes a cycle that visits window after window; begins with line 0.
fn windows(
    memory: &mut [u64],
    (lines, window): (usize, usize),
    rng: &mut ChaCha8Rng,
    next: u64,
    place: impl Fn(usize) -> usize,
    address: impl Fn(usize) -> u64,
) {
    let mut starts: Vec<usize> = (0..lines).step_by(window).collect();
    starts[1..].shuffle(rng);
    let mut last = 0;
    let mut inside: Vec<usize> = Vec::with_capacity(window);
    for start in starts {
        inside.clear();
        inside.extend((start..(start + window).min(lines)).filter(|line| *line != 0));
        inside.shuffle(rng);
        for &line in &inside {
            memory[place(last)] = address(line);
            last = line;
        }
    }
    memory[place(last)] = next;
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn every_chain_is_one_full_cycle() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut memory = vec![0u64; 1 << 18];
        for order in [Order::Random, Order::Windows] {
            for lines in [1, 2, 3, 7, 64, 513, 2048, 2049, 5000] {
                for (stride_words, skew) in [(8, 0), (32, 0), (32, 8)] {
                    memory.fill(0);
                    let chain = Chain::new(&mut memory, lines, stride_words, skew, order, &mut rng);
                    let words = chain.words();
                    assert_eq!(words, 4 * lines);
                    assert_eq!(chain.length(words), words, "{order:?}, {lines} lines");
                }
            }
        }
        let mut large = vec![0u64; 8 * 200_000];
        let chain = Chain::new(&mut large, 200_000, 8, 0, Order::Random, &mut rng);
        assert_eq!((chain.words(), chain.length(200_000)), (200_000, 200_000));
    }

    #[test]
    fn cycles_are_uniform() {
        // Of four lines there are 3! = 6 cycles; each should come up in a sixth of the draws.
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            let mut cycle = [0u64; 4];
            sattolo(&mut cycle, 4, &mut rng, 0, |line| line, |line| line as u64);
            *counts.entry(cycle).or_insert(0) += 1;
        }
        assert!(
            counts.len() == 6 && counts.values().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn walks_stay_on_the_cycle() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut memory = vec![0u64; 1 << 16];
        let mut chain = Chain::new(&mut memory, 1000, 16, 8, Order::Random, &mut rng);
        let start = chain.at;
        chain.walk(chain.words().next_multiple_of(16) - 16);
        chain.walk(1);
        assert_ne!(chain.at, std::ptr::null());
        chain.at = start;
        // 4000 words: a multiple of 16 leads back.
        assert_eq!(chain.words() % 16, 0);
        chain.walk(chain.words());
        assert_eq!(chain.at, start);
    }

    #[test]
    #[should_panic(expected = "do not fit")]
    fn too_many_lines_are_refused() {
        Chain::new(&mut [0; 64], 9, 8, 0, Order::Random, &mut ChaCha8Rng::seed_from_u64(4));
    }
}
