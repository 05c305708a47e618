//! Reading a region in order, without leaving what was read in the page cache.

use crate::io::cache::pass::Pass;
use crate::mapping::region::Region;

impl Region {
    /// Begins to read the region in order from its first byte.
    pub(crate) fn start_pass(&self) -> Pass {
        let mut pass = Pass::default();
        if let Ok(Some(filed)) = self.filed() {
            let (first, len) = (filed.offset_of(0), filed.offset_of(filed.len));
            pass.start_cold(filed.file, first, len);
        }
        pass
    }

    /// Notes that the bytes before `byte` were read in order, and that their pages are not mapped.
    pub(crate) fn reach(&self, pass: &mut Pass, byte: usize) {
        if let Ok(Some(filed)) = self.filed() {
            let (reached, len) = (byte.min(filed.len), filed.offset_of(filed.len));
            pass.reach(filed.file, filed.offset_of(reached), len);
        }
    }
}
