//! Merging sorted inputs of records, in memory and on disk.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::budget::{Lease, MemoryBudget};
use crate::bug::bug;
use crate::error::{Error, ErrorKind, Result};
use crate::external::records::chunk::{Chunk, KeyOrder, Record};
use crate::external::records::code;
use crate::external::records::code::{Code, ENDED, EQUAL, UNKNOWN};
use crate::external::records::reserve::{Loan, Reserve};
use crate::external::records::run::RunReader;
use crate::external::records::streams::Stream;
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
    /// What another thread merges.
    Stream(Stream),
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
            Self::Stream(stream) => stream.get(),
        }
    }

    /// Returns how many bytes the records have, about.
    fn weight(&self) -> u64 {
        match self {
            Self::Chunk(chunk, _left) => chunk.used() as u64,
            Self::Run(run) => run.weight(),
            Self::Stream(stream) => stream.weight(),
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
            Self::Stream(stream) => stream.code(),
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
            Self::Stream(stream) => stream.advance(),
        }
    }
}

/// A joined record, which no input has.
#[derive(Debug)]
struct Joined {
    key: Vec<u8>,
    value: Vec<u8>,
    stored: Vec<u8>,
    /// The code of the key relative to that of the record before.
    code: Code,
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
        let weights: Vec<_> = inputs.iter().map(Input::weight).collect();
        let tree = (!inputs.is_empty()).then(|| Tree::weighted(&weights, play));
        Ok(Self {
            inputs,
            heads,
            rules: rules.clone(),
            tree,
            joined: Joined {
                key: Vec::new(),
                value: Vec::new(),
                stored: Vec::new(),
                code: UNKNOWN,
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

    /// Returns the streams among the inputs.
    #[cfg(test)]
    pub(super) fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.inputs.iter().filter_map(|input| match input {
            Input::Stream(stream) => Some(stream),
            Input::Chunk(..) | Input::Run(_) => None,
        })
    }

    /// Advances to the next record; returns it, and its bytes as stored.
    pub(super) fn next(&mut self) -> Result<Option<(Record<'_>, &[u8])>> {
        self.advance()?;
        Ok(self.present())
    }

    /// Advances to the next record.
    pub(super) fn advance(&mut self) -> Result<()> {
        if self.rules.combine.is_some() || self.rules.is_unique {
            self.next_joined()
        } else {
            self.next_plain()
        }
    }

    /// Returns the code of the current record relative to the one before, or relative to none if it is
    /// the first.
    pub(super) fn code(&self) -> Code {
        if self.joined.is_present {
            return self.joined.code;
        }
        self.head_code()
    }

    /// Takes the bytes of the current record, if it was joined. They stay charged to the merge, which
    /// must not advance before it has them [back](Self::put_back).
    pub(super) fn take_joined(&mut self) -> Option<Vec<u8>> {
        let joined = &mut self.joined;
        (joined.is_present).then(|| std::mem::take(&mut joined.stored))
    }

    pub(super) fn put_back(&mut self, stored: Vec<u8>) {
        self.joined.stored = stored;
    }

    /// Returns the current record, and its bytes as stored.
    pub(super) fn present(&self) -> Option<(Record<'_>, &[u8])> {
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

    /// Returns its code, relative to the one that was removed last.
    fn head_code(&self) -> Code {
        let winner = self.tree.as_ref().map_or(0, Tree::winner);
        self.heads.get(winner).copied().unwrap_or(ENDED)
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
        let code = self.head_code();
        let winner = self.tree.as_ref().map_or(0, Tree::winner);
        let Some((_record, stored)) = self.inputs.get(winner).and_then(Input::get) else {
            return Ok(());
        };
        self.joined.begin(stored, code)?;
        self.drop_head()?;
        let mut is_changed = false;
        loop {
            let code = self.head_code();
            if code != EQUAL && code != UNKNOWN {
                break;
            }
            let Self {
                tree,
                inputs,
                joined,
                rules,
                ..
            } = self;
            let winner = tree.as_ref().map_or(0, Tree::winner);
            let Some((record, _stored)) = inputs.get(winner).and_then(Input::get) else {
                break;
            };
            if code == UNKNOWN && rules.order.compare(record.key, joined.first_key()).is_ne() {
                break;
            }
            if let Some(combine) = &rules.combine {
                if !is_changed {
                    joined.split()?;
                    is_changed = true;
                }
                combine(&mut joined.value, record.value);
                let len = joined.record().len();
                if len > self.record_bytes_max {
                    return Err(too_long("it", len, self.record_bytes_max));
                }
                // A vector that grows has up to twice what it needs.
                joined.value.shrink_to(self.record_bytes_max);
                joined.pay(0)?;
            }
            self.drop_head()?;
        }
        if is_changed {
            self.joined.store()?;
        }
        self.joined.is_present = true;
        Ok(())
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

    /// Begins with the first of the records that are joined.
    fn begin(&mut self, stored: &[u8], code: Code) -> Result<()> {
        (self.is_long, self.code) = (false, code);
        for buffer in [&mut self.key, &mut self.value, &mut self.stored] {
            buffer.clear();
        }
        let missing = stored.len().saturating_sub(self.stored.capacity());
        self.pay(missing)?;
        make_room(&mut self.stored, stored.len())?;
        self.stored.extend_from_slice(stored);
        self.pay(0)
    }

    /// Returns the key of that record.
    fn first_key(&self) -> &[u8] {
        let first = Record::parse(&self.stored);
        first.map_or(&[][..], |(first, _len)| first.key)
    }

    /// Prepares for a change of the value.
    fn split(&mut self) -> Result<()> {
        let Some((first, _len)) = Record::parse(&self.stored) else {
            bug!("{} bytes that are no record", self.stored.len());
        };
        let (key_len, value_len) = (first.key.len(), first.value.len());
        let missing = [(&self.key, key_len), (&self.value, value_len)];
        let missing = missing.map(|(buffer, wanted)| wanted.saturating_sub(buffer.capacity()));
        self.pay(missing.into_iter().fold(0, usize::saturating_add))?;
        make_room(&mut self.key, key_len)?;
        make_room(&mut self.value, value_len)?;
        if let Some((first, _len)) = Record::parse(&self.stored) {
            self.key.extend_from_slice(first.key);
            self.value.extend_from_slice(first.value);
            self.is_long = first.is_long;
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
        if need <= paid || self.lease.grow(need.saturating_sub(paid)) {
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
        self.stored.clear();
        make_room(&mut self.stored, len)?;
        self.stored.resize(len, 0);
        let record = Record {
            key: &self.key,
            value: &self.value,
            is_long: self.is_long,
        };
        record
            .store(&mut self.stored)
            .ok_or_else(|| too_long("it", len, u32::MAX as usize))?;
        self.pay(0)
    }
}

/// Makes room for `len` bytes in an empty buffer.
fn make_room(buffer: &mut Vec<u8>, len: usize) -> Result<()> {
    buffer.try_reserve_exact(len).map_err(|_full| {
        let reason = format!("there is no memory for {len} bytes");
        Error::refused(ErrorKind::OutOfMemory, "join records", reason)
    })
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
