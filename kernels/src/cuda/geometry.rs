//! How many blocks a launch has: the one place where it is computed.

/// Blocks that walk over more than one share each: as many as keep every multiprocessor busy, whatever the card is.
const MOST_WALKING: u64 = 4096;

/// Blocks of 256 threads for `n` elements, `each` at once a thread; the grid walks over the rest.
pub(super) fn elements(n: u64, each: u64) -> u32 {
    n.div_ceil(256 * each).clamp(1, MOST_WALKING) as u32
}

/// Blocks and threads where a block takes a row and its threads the columns; the grid walks over the rows.
pub(super) fn by_row(rows: u32, cols: u32) -> (u32, u32) {
    (rows.clamp(1, 65_535), cols.next_multiple_of(32).clamp(32, 256))
}

/// Blocks of four warps, a warp a row.
pub(super) fn warp_by_row(rows: u32) -> u32 {
    rows.div_ceil(4).max(1)
}

/// Tiles of `tile` = (rows, columns) that cover m x n; `None` beyond what a grid may have.
pub(super) fn tiles((m, n): (u32, u32), tile: (u32, u32)) -> Option<u32> {
    let blocks = u64::from(m.div_ceil(tile.0)) * u64::from(n.div_ceil(tile.1));
    u32::try_from(blocks).ok().filter(|&blocks| blocks <= i32::MAX as u32)
}

/// How a column sum over `rows` rows is cut: rows of a block, and blocks below one another. It depends on the shape alone, so that
/// the order of a sum does.
pub(super) fn row_parts(rows: u32) -> (u32, u32) {
    let per_block = rows.div_ceil(128).next_multiple_of(8).max(256);
    (per_block, rows.div_ceil(per_block).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_a_thread_and_no_grid_is_empty() {
        assert_eq!(elements(0, 4), 1);
        assert_eq!(elements(1024, 4), 1);
        assert_eq!(elements(1025, 4), 2);
        assert_eq!(elements(u64::MAX, 1), 4096);
        assert_eq!(by_row(10, 10), (10, 32));
        assert_eq!(by_row(1 << 20, 784), (65_535, 256));
        assert_eq!(warp_by_row(5), 2);
    }

    #[test]
    fn tiles_cover_the_matrix_and_stay_within_a_grid() {
        assert_eq!(tiles((128, 129), (128, 64)), Some(3));
        assert_eq!(tiles((1, 1), (16, 16)), Some(1));
        assert_eq!(tiles((i32::MAX as u32, i32::MAX as u32), (16, 16)), None);
    }

    #[test]
    fn parts_cover_the_rows() {
        for rows in [0, 1, 255, 256, 257, 40_000, 1 << 20, i32::MAX as u32] {
            let (per_block, parts) = row_parts(rows);
            assert!(u64::from(per_block) * u64::from(parts) >= u64::from(rows), "{rows}");
            assert!(parts <= 128, "{rows}: {parts}");
        }
    }
}
