use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Order of turns within a round. A fixed order would charge one contestant with what its neighbours leave in the
/// caches, and with any drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// There and back, `A B C C B A`: two turns each, so that an even drift cancels in every round. The list is rotated
    /// from round to round, so that all take the outer and the middle places in turn.
    Mirrored,
    /// A new shuffle every round, from this seed: one turn each.
    Random(u64),
}

impl Order {
    /// Whose turn it is, place by place, for `count` contestants in the round of this number.
    pub fn turns(self, count: usize, round: u32) -> Vec<usize> {
        let mut turns: Vec<usize> = (0..count).collect();
        match self {
            Order::Mirrored => {
                turns.rotate_left(round as usize % count.max(1));
                turns.extend(turns.clone().iter().rev());
            }
            Order::Random(seed) => {
                // One stream a round: a round's order does not hang on how many came before it.
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(round.into());
                turns.shuffle(&mut rng);
            }
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrored_goes_there_and_back_and_rotates() {
        assert_eq!(Order::Mirrored.turns(3, 0), [0, 1, 2, 2, 1, 0]);
        assert_eq!(Order::Mirrored.turns(3, 4), [1, 2, 0, 0, 2, 1]);
        assert_eq!(Order::Mirrored.turns(1, 9), [0, 0]);
        assert!(Order::Mirrored.turns(0, 1).is_empty());
    }

    #[test]
    fn random_is_a_new_permutation_each_round_and_repeats_by_seed() {
        let first_places: Vec<usize> = (0..300).map(|round| Order::Random(5).turns(3, round)[0]).collect();
        for contestant in 0..3 {
            let first = first_places.iter().filter(|&&place| place == contestant).count();
            assert!(
                (70..130).contains(&first),
                "{contestant} came first {first} times of 300"
            );
        }
        let mut turns = Order::Random(5).turns(7, 3);
        assert_eq!(turns, Order::Random(5).turns(7, 3));
        assert_ne!(turns, Order::Random(6).turns(7, 3));
        turns.sort_unstable();
        assert_eq!(turns, [0, 1, 2, 3, 4, 5, 6]);
    }
}
