//! The steps that read: in every way, as text, and with closures and iterators that panic in the
//! middle.
#![expect(
    unsafe_code,
    reason = "reads text that was pushed as text without checking it"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use outcore::{Advice, ErrorKind, Location, ReadOptions};

use crate::arena_model::Run;

impl Run {
    /// Returns the options that a number selects.
    pub(super) fn options(&self, number: usize) -> ReadOptions {
        let options = ReadOptions::new();
        match (number + self.step) % 6 {
            0 => options.in_flight(1),
            1 => options.in_flight(3).direct(true),
            2 => options.threads(true),
            3 => options.threads(true).direct(true),
            _ => options,
        }
    }

    /// Chooses items, flushed or not.
    fn any(&mut self, count_max: usize) -> Vec<usize> {
        let count = self.random.below(count_max);
        let count = if self.model.is_empty() { 0 } else { count };
        let at = |_| self.random.below(self.model.len());
        (0..count).map(at).collect()
    }

    fn locations(&self, chosen: &[usize]) -> Vec<Location> {
        chosen.iter().map(|at| self.model[*at].location).collect()
    }

    /// A stream returns the flushed items in the requested order, and an error for each of the
    /// others.
    pub(super) fn stream(&mut self) {
        let chosen = self.any(40);
        let locations = self.locations(&chosen);
        let way = self.random.below(6);
        let options = self.options(way);
        // Some streams are dropped half-way.
        let enough = if self.random.below(4) == 0 {
            chosen.len() / 2
        } else {
            usize::MAX
        };
        let waits = self.random.below(2) == 0;
        let mut stream = if way == 0 {
            self.tally.met("stream");
            self.arena.stream(locations)
        } else {
            self.tally.met("stream_with");
            self.arena.stream_with(&options, locations)
        };
        if enough < chosen.len() {
            self.tally.met("a stream given up");
        }
        if !waits {
            self.tally.met("try_next");
        }
        let mut taken = 0;
        while taken < enough {
            let next = if waits {
                stream.next()
            } else {
                match stream.try_next() {
                    Poll::Pending => continue,
                    Poll::Ready(next) => next,
                }
            };
            let Some(answer) = next else { break };
            let known = &self.model[chosen[taken]];
            match answer {
                Ok(bytes) => assert!(bytes == known.bytes, "{}: {taken}", self.here()),
                Err(refused) => {
                    assert_eq!(refused.kind(), ErrorKind::NotFlushed, "{}", self.here());
                    assert!(known.writer.is_some(), "{}: {refused}", self.here());
                }
            }
            taken += 1;
        }
        assert!(
            taken == chosen.len().min(enough),
            "{}: {taken}",
            self.here()
        );
    }

    /// Text is valid if std accepts it.
    pub(super) fn read_text(&mut self) {
        let chosen = self.any(8);
        for known in chosen.iter().map(|at| &self.model[*at]) {
            let mut text = "before".to_owned();
            let answer = self.arena.get_str_into(known.location, &mut text);
            self.tally.met("get_str_into");
            match (answer, std::str::from_utf8(&known.bytes)) {
                (Ok(()), Ok(expected)) => {
                    let same = text.strip_prefix("before") == Some(expected);
                    assert!(same, "{}: {:?}", self.here(), known.location);
                }
                (Ok(()), Err(_bytes)) => panic!("{}: {:?}", self.here(), known.location),
                (Err(refused), valid) => {
                    let kind = refused.kind();
                    let unread = kind == ErrorKind::NotFlushed && known.writer.is_some();
                    let no_text = kind == ErrorKind::InvalidUtf8 && valid.is_err();
                    assert!(unread || no_text, "{}: {refused}", self.here());
                    assert_eq!(text, "before", "{}", self.here());
                    if no_text {
                        self.tally.met("get_str_into, no text");
                    }
                }
            }
        }
        self.read_text_unchecked(&chosen);
        for location in self.locations(&chosen) {
            let same = Location::from_bytes(location.to_bytes());
            assert_eq!(same, location, "{}", self.here());
            self.tally.met("from_bytes");
        }
    }

    /// Text that was pushed as such is not checked.
    fn read_text_unchecked(&mut self, chosen: &[usize]) {
        for known in chosen.iter().map(|at| &self.model[*at]) {
            let Ok(expected) = std::str::from_utf8(&known.bytes) else {
                continue;
            };
            self.tally.met("get_str_into_unchecked");
            let mut text = "before".to_owned();
            // SAFETY: the item is UTF-8: the model has checked the pushed bytes.
            match unsafe { self.arena.get_str_into_unchecked(known.location, &mut text) } {
                Ok(()) => {
                    let same = text.strip_prefix("before") == Some(expected);
                    assert!(same, "{}: {:?}", self.here(), known.location);
                }
                Err(refused) => {
                    assert_eq!(refused.kind(), ErrorKind::NotFlushed, "{}", self.here());
                    assert!(known.writer.is_some(), "{}: {refused}", self.here());
                    assert_eq!(text, "before", "{}", self.here());
                }
            }
        }
    }

    /// The callback that gets an item panics, or the iterator of locations; the arena still works.
    pub(super) fn panic_on_the_way(&mut self) {
        let mut chosen = self.any(40);
        chosen.retain(|at| self.model[*at].writer.is_none());
        if chosen.is_empty() {
            return;
        }
        let locations = self.locations(&chosen);
        let options = self.options(chosen.len());
        let mut left = self.random.below(chosen.len());
        let mut burn = || {
            assert!(left > 0, "planned");
            left -= 1;
        };
        let in_batches = self.random.below(2) == 0;
        self.tally.met(if in_batches {
            "a panic in get_many_with"
        } else {
            "a panic in stream_with"
        });
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            if in_batches {
                let deliver = |_, _: &[u8]| burn();
                let _answer = self.arena.get_many_with(&options, &locations, deliver);
            } else {
                let asked = locations.iter().copied().inspect(|_location| burn());
                self.arena.stream_with(&options, asked).for_each(drop);
            }
        }));
        assert!(panicked.is_err(), "{}", self.here());
        self.read_these(&chosen);
    }

    /// Advice and prefetching change no data.
    pub(super) fn tell_the_map(&mut self) {
        self.tally.met("advise");
        self.tally.met("prefetch_many");
        let advice = [Advice::Normal, Advice::Sequential, Advice::Random];
        self.map.advise(self.random.pick(&advice)).unwrap();
        let mut chosen = self.any(40);
        chosen.retain(|at| self.model[*at].writer.is_none());
        self.map.prefetch_many(&self.locations(&chosen)).unwrap();
        if let Some(writer) = self.writers.first() {
            assert_eq!(
                writer.writer.arena().len_bytes(),
                self.arena.len_bytes(),
                "{}",
                self.here()
            );
        }
    }
}
