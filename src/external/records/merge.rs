//! Merging sorted inputs of records, in memory and on disk.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::budget::{Lease, MemoryBudget};
use crate::error::{Error, ErrorKind, Result};
use crate::external::records::chunk::{Chunk, KeyOrder, Record};
use crate::external::records::code;
use crate::external::records::code::{Code, ENDED, EQUAL, UNKNOWN};
use crate::external::records::reserve::{Loan, Reserve};
use crate::external::records::run::RunReader;
use crate::external::tree::Tree;

/// A function that joins values of equal keys.
pub(super) type Combine = dyn Fn(&mut Vec<u8>, &[u8]) + Send + Sync;

/// The order of records, and the treatment of equal keys.
#[derive(Clone, Default)]
pub(super) struct Rules {
    pub(super) order: KeyOrder,
    pub(super) is_unique: bool,
    /// Whether blocks of runs are packed, where that makes them shorter.
    pub(super) packs: bool,
    pub(super) combine: Option<Arc<Combine>>,
}

/// Records in order.
#[derive(Debug)]
pub(super) enum Input {
    /// A sorted chunk, and the numbers of its records that are left.
    Chunk(Arc<Chunk>, Range<usize>),
    Run(RunReader),
}

impl Input {
    /// All records of a chunk.
    pub(super) fn all(chunk: Arc<Chunk>) -> Self {
        let all = 0..chunk.count();
        Self::Chunk(chunk, all)
    }

    fn get(&self) -> Option<(Record<'_>, &[u8])> {
        match self {
            Self::Chunk(chunk, left) => chunk.get(left.clone().next()?),
            Self::Run(run) => run.get(),
        }
    }

    /// Returns the code of the current record relative to the one before.
    fn code(&self) -> Code {
        match self {
            Self::Chunk(chunk, left) => {
                let code = left.clone().next().and_then(|at| chunk.code(at));
                code.unwrap_or(ENDED)
            }
            Self::Run(run) => run.code(),
        }
    }

    /// Returns the code of the current record relative to none, since none was removed.
    fn first_code(&self, order: &KeyOrder) -> Code {
        match self.get() {
            None => ENDED,
            Some((record, _stored)) if order.has_codes() => code::first_code(record.key),
            Some(_) => UNKNOWN,
        }
    }

    fn advance(&mut self, order: &KeyOrder) -> Result<()> {
        match self {
            Self::Chunk(chunk, left) => {
                left.next();
                chunk.will_need(left.start);
                Ok(())
            }
            Self::Run(run) => run.advance(order),
        }
    }
}

/// A joined record, which no input has.
#[derive(Debug)]
struct Joined {
    key: Vec<u8>,
    value: Vec<u8>,
    stored: Vec<u8>,
    /// The lease of the three buffers, together with what is borrowed.
    lease: Lease,
    /// Lends memory where the budget has none left.
    reserve: Option<Arc<Reserve>>,
    loan: Option<Loan>,
    is_long: bool,
    is_present: bool,
}

/// Sorted inputs; the current record is the least of all. Of equal keys, that of the first input
/// comes first.
pub(super) struct Merger {
    inputs: Vec<Input>,
    /// For each input the code of the current key, relative to the key that it lost to last, or to
    /// the one that was removed last.
    heads: Vec<Code>,
    rules: Rules,
    tree: Option<Tree>,
    joined: Joined,
    record_bytes_max: usize,
    /// Whether the current record was returned.
    is_taken: bool,
}

impl fmt::Debug for Merger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merger")
            .field("inputs", &self.inputs.len())
            .finish_non_exhaustive()
    }
}

/// Returns whether the current record of an input precedes that of another. The one that loses gets
/// the code relative to the other.
#[inline]
fn less(inputs: &[Input], heads: &mut [Code], order: &KeyOrder, a: usize, b: usize) -> bool {
    let code = |heads: &[Code], input: usize| heads.get(input).copied().unwrap_or(ENDED);
    let (first, second) = (code(heads, a), code(heads, b));
    let is_known = first != UNKNOWN && second != UNKNOWN;
    if first == ENDED || second == ENDED || (first != second && is_known) {
        return (first, a) < (second, b);
    }
    if first == EQUAL && second == EQUAL {
        return a < b;
    }
    let key = |input: usize| {
        let record = inputs.get(input).and_then(Input::get);
        record.map_or(&[][..], |(record, _stored)| record.key)
    };
    let (compared, code) = if !order.has_codes() {
        (order.compare(key(a), key(b)), UNKNOWN)
    } else if is_known {
        code::compare_behind(first, key(a), key(b))
    } else {
        code::compare(key(a), key(b))
    };
    let is_less = compared.is_lt() || (compared.is_eq() && a < b);
    if let Some(head) = heads.get_mut(if is_less { b } else { a }) {
        *head = code;
    }
    is_less
}

impl Merger {
    pub(super) fn new(
        inputs: Vec<Input>,
        rules: &Rules,
        budget: &MemoryBudget,
        record_bytes_max: usize,
        reserve: Option<&Arc<Reserve>>,
    ) -> Result<Self> {
        let lease = budget.take(0).ok_or_else(too_little)?;
        let order = &rules.order;
        let mut heads: Vec<_> = inputs.iter().map(|input| input.first_code(order)).collect();
        let play = |a, b| less(&inputs, &mut heads, order, a, b);
        let tree = (!inputs.is_empty()).then(|| Tree::new(inputs.len(), play));
        Ok(Self {
            inputs,
            heads,
            rules: rules.clone(),
            tree,
            joined: Joined {
                key: Vec::new(),
                value: Vec::new(),
                stored: Vec::new(),
                lease,
                reserve: reserve.cloned(),
                loan: None,
                is_long: false,
                is_present: false,
            },
            record_bytes_max,
            is_taken: false,
        })
    }

    /// Advances to the next record; returns it, and its bytes as stored.
    pub(super) fn next(&mut self) -> Result<Option<(Record<'_>, &[u8])>> {
        if self.rules.combine.is_some() || self.rules.is_unique {
            self.next_joined()?;
        } else {
            self.next_plain()?;
        }
        Ok(self.present())
    }

    fn present(&self) -> Option<(Record<'_>, &[u8])> {
        if self.joined.is_present {
            let (record, _len) = Record::parse(&self.joined.stored)?;
            return Some((record, &self.joined.stored));
        }
        self.head()
    }

    /// Returns the least record of all inputs.
    fn head(&self) -> Option<(Record<'_>, &[u8])> {
        let winner = self.tree.as_ref()?.winner();
        self.inputs.get(winner)?.get()
    }

    /// Removes the least record.
    fn drop_head(&mut self) -> Result<()> {
        let Some(tree) = &mut self.tree else {
            return Ok(());
        };
        let winner = tree.winner();
        if let (Some(input), Some(head)) = (self.inputs.get_mut(winner), self.heads.get_mut(winner))
        {
            input.advance(&self.rules.order)?;
            *head = input.code();
        }
        let (inputs, heads, order) = (&self.inputs, &mut self.heads, &self.rules.order);
        tree.replay(|a, b| less(inputs, heads, order, a, b));
        Ok(())
    }

    fn next_plain(&mut self) -> Result<()> {
        if self.is_taken {
            self.drop_head()?;
        }
        self.is_taken = true;
        Ok(())
    }

    /// Removes all records of the next key, and joins them into one.
    fn next_joined(&mut self) -> Result<()> {
        self.joined.is_present = false;
        let Some((record, stored)) = self.head() else {
            return Ok(());
        };
        let (key_len, value_len, len) = (record.key.len(), record.value.len(), stored.len());
        self.joined.reserve(key_len, value_len, len)?;
        let Self {
            tree,
            inputs,
            joined,
            ..
        } = self;
        let winner = tree.as_ref().map_or(0, Tree::winner);
        if let Some((record, _stored)) = inputs.get(winner).and_then(Input::get) {
            joined.key.clear();
            joined.key.extend_from_slice(record.key);
            joined.value.clear();
            joined.value.extend_from_slice(record.value);
            joined.is_long = record.is_long;
        }
        self.drop_head()?;
        loop {
            let Self {
                tree,
                inputs,
                heads,
                joined,
                rules,
                ..
            } = self;
            let winner = tree.as_ref().map_or(0, Tree::winner);
            // It is relative to the record that was removed last.
            let code = heads.get(winner).copied().unwrap_or(ENDED);
            if code != EQUAL && code != UNKNOWN {
                break;
            }
            let head = inputs.get(winner).and_then(Input::get);
            let Some((record, _stored)) = head else {
                break;
            };
            if code == UNKNOWN && rules.order.compare(record.key, &joined.key).is_ne() {
                break;
            }
            if let Some(combine) = &rules.combine {
                combine(&mut joined.value, record.value);
            }
            let len = joined.record().len();
            if len > self.record_bytes_max {
                return Err(too_long("it", len, self.record_bytes_max));
            }
            // A vector that grows has up to twice what it needs.
            joined.value.shrink_to(self.record_bytes_max);
            joined.pay(0)?;
            self.drop_head()?;
        }
        self.joined.store()
    }
}

impl Joined {
    fn record(&self) -> Record<'_> {
        Record {
            key: &self.key,
            value: &self.value,
            is_long: self.is_long,
        }
    }

    /// Makes room for a record of these lengths.
    fn reserve(&mut self, key_len: usize, value_len: usize, len: usize) -> Result<()> {
        self.key.clear();
        self.value.clear();
        self.stored.clear();
        let missing = [
            (&self.key, key_len),
            (&self.value, value_len),
            (&self.stored, len),
        ];
        let missing = missing.map(|(buffer, wanted)| wanted.saturating_sub(buffer.capacity()));
        self.pay(missing.into_iter().fold(0, usize::saturating_add))?;
        let wanted = [
            (&mut self.key, key_len),
            (&mut self.value, value_len),
            (&mut self.stored, len),
        ];
        for (buffer, wanted) in wanted {
            buffer.try_reserve_exact(wanted).map_err(|_full| {
                let reason = format!("there is no memory for {wanted} bytes");
                Error::refused(ErrorKind::OutOfMemory, "join records", reason)
            })?;
        }
        self.pay(0)
    }

    /// Charges the capacity of the three buffers, and `more` bytes, to the budget or the reserve.
    fn pay(&mut self, more: usize) -> Result<()> {
        let has = self.key.capacity().saturating_add(self.value.capacity());
        let has = has.saturating_add(self.stored.capacity());
        let need = has.saturating_add(more);
        let borrowed = self.loan.as_ref().map_or(0, Loan::bytes);
        let paid = self.lease.bytes().saturating_add(borrowed);
        if self.lease.grow(need.saturating_sub(paid)) {
            return Ok(());
        }
        // A writer that has the reserve waits for no other one, so this ends.
        let Some(reserve) = self.reserve.take() else {
            return Err(too_little());
        };
        let loan = self.loan.insert(reserve.borrow()?);
        self.lease.shrink_to(need.saturating_sub(loan.bytes()));
        let paid = self.lease.bytes().saturating_add(loan.bytes());
        if self.lease.grow(need.saturating_sub(paid)) {
            return Ok(());
        }
        Err(too_little())
    }

    fn store(&mut self) -> Result<()> {
        let len = self.record().len();
        self.pay(len.saturating_sub(self.stored.capacity()))?;
        self.stored.try_reserve_exact(len).map_err(|_full| {
            let reason = format!("there is no memory for {len} bytes");
            Error::refused(ErrorKind::OutOfMemory, "join records", reason)
        })?;
        self.stored.clear();
        self.stored.resize(len, 0);
        let record = Record {
            key: &self.key,
            value: &self.value,
            is_long: self.is_long,
        };
        record
            .store(&mut self.stored)
            .ok_or_else(|| too_long("it", len, u32::MAX as usize))?;
        self.is_present = true;
        self.pay(0)
    }
}

#[cold]
pub(super) fn too_long(what: &str, len: usize, max: usize) -> Error {
    let reason = format!("{what} has {len} bytes, and may have {max} with this budget");
    Error::refused(ErrorKind::ItemTooLarge, "sort a record", reason)
}

#[cold]
pub(super) fn too_little() -> Error {
    let reason = "others have taken the memory of the budget that merging needs";
    Error::refused(ErrorKind::OverBudget, "merge records", reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::external::records::chunk::Layout;

    /// A value that grew bit by bit had a vector of nearly twice its length, and the key and the
    /// stored record kept their memory beside it: more than merges leave for joining.
    #[test]
    fn joining_needs_no_more_than_three_of_the_longest_records() {
        let longest = 7 << 10;
        let order = KeyOrder::default();
        let all = MemoryBudget::new(1 << 20);
        let mut chunk = Chunk::new(&all, Layout::new(100 << 10, 100)).unwrap();
        let mut push = |key: &[u8], value: &[u8]| {
            let record = Record {
                key,
                value,
                is_long: false,
            };
            chunk.push(record).unwrap();
        };
        push(&vec![b'a'; longest - 10], b"");
        for _ in 0..70 {
            push(b"b", &[b'x'; 102]);
        }
        push(b"c", &vec![b'x'; longest - 10]);
        chunk.sort(&order);
        let rules = Rules {
            combine: Some(Arc::new(Vec::extend_from_slice)),
            ..Rules::default()
        };
        let budget = MemoryBudget::new(3 * longest as u64);
        let inputs = vec![Input::all(Arc::new(chunk))];
        let mut merger = Merger::new(inputs, &rules, &budget, longest, None).unwrap();
        for len in [0, 70 * 102, longest - 10] {
            let (record, _stored) = merger.next().unwrap().unwrap();
            assert_eq!(record.value.len(), len);
        }
        assert!(merger.next().unwrap().is_none());
    }
}
