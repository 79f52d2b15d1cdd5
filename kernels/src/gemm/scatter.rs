//! A C whose columns are not neighbours: its tiles are made in scratch and set down element by element.

use super::loops::Product;
use crate::Float;

impl<T: Float> Product<'_, T> {
    /// A tile of scratch goes to a C whose columns are not neighbours, element by element; `epilogue_at` names the
    /// tile's place where its epilogue is due.
    pub(super) fn scatter(
        &self,
        (tile, sums): (*mut T, *mut T),
        c: *mut T,
        used: (usize, usize),
        beta: T,
        epilogue_at: Option<(usize, usize)>,
    ) {
        let nr = self.kernels.nr();
        let place = |i: usize, j: usize| {
            (
                tile.wrapping_add(i * nr + j),
                c.wrapping_add(i * self.c_row + j * self.c_col),
            )
        };
        let bias = epilogue_at.and_then(|(_, col)| Some(&self.epilogue.bias?[col..]));
        for i in 0..used.0 {
            for j in 0..used.1 {
                let (tile, c) = place(i, j);
                // SAFETY: inside the tile of scratch, and inside the tile of C that this task alone writes.
                unsafe {
                    if beta != T::ZERO {
                        *tile = (*tile).plus(beta.times(c.read()));
                    }
                    if let Some(bias) = bias {
                        *tile = (*tile).plus(bias[j]);
                    }
                }
            }
        }
        if let Some(at) = epilogue_at
            && self.epilogue.has_function()
        {
            T::run_on(self.isa, self.epilogue.on_tile((tile, nr), at, used, sums));
        }
        for i in 0..used.0 {
            for j in 0..used.1 {
                let (tile, c) = place(i, j);
                // SAFETY: as above.
                unsafe { c.write(tile.read()) };
            }
        }
    }
}
