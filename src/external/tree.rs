//! A loser tree: finds the least head of many sorted inputs by one comparison for each level
//! instead of two.

use std::collections::VecDeque;

/// No match.
const NONE: u32 = u32::MAX;

/// The inputs of a merge as a tournament.
#[derive(Debug)]
pub(super) struct Tree {
    /// For each match the input that lost it, and the match that the other one plays next.
    matches: Vec<(u32, u32)>,
    /// For each input its first match.
    first: Vec<u32>,
    /// The winner of all.
    winner: u32,
}

/// An input that waits for its next match.
#[derive(Clone, Copy)]
struct Player {
    weight: u64,
    input: u32,
    /// The match that it has won, if there was one.
    won: u32,
}

impl Tree {
    /// Plays the matches of `count` inputs, at least one. `less` returns whether the first argument
    /// beats the second: it has to know which inputs have ended, and that of equal heads the first
    /// wins.
    pub(super) fn new(count: usize, less: impl FnMut(usize, usize) -> bool) -> Self {
        Self::weighted(&vec![1; count], less)
    }

    /// The same for inputs that win more often the more weight they have, and have fewer matches for
    /// that: as in a Huffman code, those with the least weight play first.
    pub(super) fn weighted(weights: &[u64], mut less: impl FnMut(usize, usize) -> bool) -> Self {
        let players = (0..NONE).zip(weights).map(|(input, weight)| Player {
            weight: *weight,
            input,
            won: NONE,
        });
        let mut fresh: Vec<_> = players.collect();
        fresh.sort_by_key(|player| player.weight);
        // Both are in the order of weights.
        let (mut fresh, mut winners) = (VecDeque::from(fresh), VecDeque::<Player>::new());
        let mut tree = Self {
            matches: Vec::with_capacity(weights.len()),
            first: vec![NONE; weights.len()],
            winner: 0,
        };
        for number in 0..NONE {
            let mut least = || match (fresh.front(), winners.front()) {
                (Some(player), Some(winner)) if player.weight > winner.weight => {
                    winners.pop_front()
                }
                (Some(_), _) => fresh.pop_front(),
                (None, _) => winners.pop_front(),
            };
            let Some(player) = least() else {
                break;
            };
            tree.winner = player.input;
            let Some(other) = least() else {
                break;
            };
            for player in [player, other] {
                match tree.matches.get_mut(player.won as usize) {
                    Some((_loser, next)) => *next = number,
                    None => tree.first[player.input as usize] = number,
                }
            }
            let (winner, loser) = if less(other.input as usize, player.input as usize) {
                (other.input, player.input)
            } else {
                (player.input, other.input)
            };
            tree.matches.push((loser, NONE));
            winners.push_back(Player {
                weight: player.weight.saturating_add(other.weight),
                input: winner,
                won: number,
            });
        }
        tree
    }

    /// Returns the input whose head is the least.
    pub(super) fn winner(&self) -> usize {
        self.winner as usize
    }

    /// Replays the matches of the winner, whose head has changed.
    #[inline]
    pub(super) fn replay(&mut self, mut less: impl FnMut(usize, usize) -> bool) {
        let mut player = self.winner;
        let mut number = self.first[player as usize];
        while let Some((loser, next)) = self.matches.get_mut(number as usize) {
            number = *next;
            let other = *loser;
            if less(other as usize, player as usize) {
                *loser = player;
                player = other;
            }
        }
        self.winner = player;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_inputs_is_merged_in_order() {
        for count in 1..20_usize {
            let inputs: Vec<Vec<usize>> = (0..count)
                .map(|input| (0..input * 3 % 7).map(|n| n * (input + 1) % 50).collect())
                .map(|mut input: Vec<usize>| {
                    input.sort_unstable();
                    input
                })
                .collect();
            let mut at = vec![0; count];
            let less = |at: &[usize], a: usize, b: usize| {
                let head = |input: usize| {
                    inputs[input]
                        .get(at[input])
                        .map_or((1, 0), |head| (0, *head))
                };
                (head(a), a) < (head(b), b)
            };
            let weights: Vec<_> = inputs.iter().map(|input| input.len() as u64).collect();
            for is_weighted in [false, true] {
                at.fill(0);
                let mut tree = if is_weighted {
                    Tree::weighted(&weights, |a, b| less(&at, a, b))
                } else {
                    Tree::new(count, |a, b| less(&at, a, b))
                };
                let mut merged = Vec::new();
                while let Some(head) = inputs[tree.winner()].get(at[tree.winner()]) {
                    merged.push((*head, tree.winner()));
                    at[tree.winner()] += 1;
                    tree.replay(|a, b| less(&at, a, b));
                }
                assert_eq!(merged.len(), inputs.iter().map(Vec::len).sum::<usize>());
                assert!(merged.is_sorted(), "{count}: {merged:?}");
            }
        }
    }

    /// Returns how many matches are replayed for the head of an input.
    fn depth(tree: &Tree, input: usize) -> usize {
        let first = tree.first[input];
        let next = |number: &u32| tree.matches.get(*number as usize).map(|(_, next)| *next);
        std::iter::successors(Some(first), next).count() - 1
    }

    /// Where runs and chunks in memory were merged, each record of a run cost a comparison more for
    /// each doubling of the number of chunks, though nearly all records were in runs.
    #[test]
    fn many_light_inputs_cost_the_heavy_ones_no_comparisons() {
        let weights: Vec<u64> = [[270; 30].as_slice(), &[2; 144]].concat();
        let tree = Tree::weighted(&weights, |a, b| a < b);
        let deepest = (0..30).map(|input| depth(&tree, input)).max();
        assert_eq!(deepest, Some(5));
        let tree = Tree::new(174, |a, b| a < b);
        assert_eq!((0..174).map(|input| depth(&tree, input)).min(), Some(7));
        let tree = Tree::new(32, |a, b| a < b);
        assert!((0..32).all(|input| depth(&tree, input) == 5));
    }
}
