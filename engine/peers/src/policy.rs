//! Who is in and who is out, given what DNS answered. No I/O, no clock.
//!
//! DNS tells who *may* be there: answers come late from caches, alternate between an old and a new one, and
//! are now and then empty for no reason. To send to a pod that is gone costs a datagram; to forget a pod that
//! is there costs all its messages. So the policy believes an appearance at once and a disappearance slowly:
//!
//! - An address in an answer is a member from then on.
//! - A member is removed after [`ABSENCES`] answers in a row without it.
//! - If that would leave at most half of the members, one answer more is needed.
//! - An answer without any address changes nothing for [`EMPTY_HELD`] times in a row; the next one removes
//!   everybody.
//! - A failure is no answer: it neither counts nor interrupts a count.
//!
//! The rules hold for each address family by itself, since A and AAAA are asked and can fail apart. A family
//! that never had a member takes no notice of empty answers.

use std::net::SocketAddr;

use crate::PeerSet;

/// After how many answers in a row without it a member is removed.
pub const ABSENCES: u32 = 2;

/// For how many empty answers in a row the members are held.
pub const EMPTY_HELD: u32 = 3;

/// What DNS said of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These addresses and no others. There were records, though maybe none that names a peer.
    Found(Vec<SocketAddr>),
    /// These addresses and maybe others: proof of presence, not of absence.
    Incomplete(Vec<SocketAddr>),
    /// The name does not exist or has no record of this family.
    Empty,
    /// No answer.
    Failed,
}

/// The members of all families.
#[derive(Clone, Debug)]
pub struct Membership {
    families: Vec<Family>,
    max_peers: usize,
}

impl Membership {
    /// Nobody yet, in any of `families`. There will never be more than `max_peers` members over all families.
    pub fn new(families: usize, max_peers: usize) -> Self {
        Self { families: vec![Family::default(); families], max_peers }
    }

    /// Applies one answer for each family, in the order of the families.
    pub fn observe(&mut self, answers: impl IntoIterator<Item = Answer>) {
        for (index, answer) in answers.into_iter().enumerate().take(self.families.len()) {
            let total: usize = self.families.iter().map(|family| family.members.len()).sum();
            let family = &mut self.families[index];
            let others = total - family.members.len();
            family.observe(answer, self.max_peers.saturating_sub(others));
        }
    }

    /// All members.
    pub fn peers(&self) -> PeerSet {
        self.families.iter().flat_map(|family| &family.members).map(|member| member.peer).collect()
    }

    /// How many addresses of the last answers were refused for want of room.
    pub fn over_limit(&self) -> usize {
        self.families.iter().map(|family| family.over_limit).sum()
    }

    /// For how many empty answers in a row members have been held; 0 if none are.
    pub fn held_for(&self) -> u32 {
        self.families.iter().map(|family| family.empty_answers).max().unwrap_or(0)
    }
}

#[derive(Clone, Debug, Default)]
struct Family {
    /// Sorted by address.
    members: Vec<Member>,
    /// Empty answers in a row while there were members.
    empty_answers: u32,
    over_limit: usize,
}

#[derive(Clone, Debug)]
struct Member {
    peer: SocketAddr,
    /// Answers in a row without this member.
    absences: u32,
}

impl Family {
    fn observe(&mut self, answer: Answer, most: usize) {
        let complete = matches!(answer, Answer::Found(_));
        match answer {
            Answer::Found(mut found) | Answer::Incomplete(mut found) => {
                found.sort_unstable();
                found.dedup();
                self.empty_answers = 0;
                for member in &mut self.members {
                    match found.binary_search(&member.peer) {
                        Ok(_) => member.absences = 0,
                        Err(_) if complete => member.absences += 1,
                        Err(_) => {}
                    }
                }
                self.remove_absent();
                self.add(&found, most);
            }
            Answer::Empty if self.members.is_empty() => {}
            Answer::Empty if self.empty_answers < EMPTY_HELD => self.empty_answers += 1,
            Answer::Empty => *self = Self::default(),
            Answer::Failed => {}
        }
    }

    fn remove_absent(&mut self) {
        let staying = self.members.iter().filter(|member| member.absences < ABSENCES).count();
        let halves = staying * 2 <= self.members.len();
        let needed = if halves { ABSENCES + 1 } else { ABSENCES };
        self.members.retain(|member| member.absences < needed);
    }

    fn add(&mut self, found: &[SocketAddr], most: usize) {
        let is_new =
            |peer: &&SocketAddr| self.members.binary_search_by_key(*peer, |member| member.peer).is_err();
        let new: Vec<SocketAddr> = found.iter().filter(is_new).copied().collect();
        let room = most.saturating_sub(self.members.len()).min(new.len());
        self.over_limit = new.len() - room;
        self.members.extend(new[..room].iter().map(|&peer| Member { peer, absences: 0 }));
        self.members.sort_unstable_by_key(|member| member.peer);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 9000))
    }

    fn found(hosts: impl IntoIterator<Item = u8>) -> Answer {
        Answer::Found(hosts.into_iter().map(peer).collect())
    }

    /// The members after each of the answers.
    fn hosts_after(answers: impl IntoIterator<Item = Answer>) -> Vec<Vec<u8>> {
        let mut membership = Membership::new(1, 100);
        let step = |answer| {
            membership.observe([answer]);
            hosts(&membership)
        };
        answers.into_iter().map(step).collect()
    }

    fn hosts(membership: &Membership) -> Vec<u8> {
        let host = |peer: &SocketAddr| match peer {
            SocketAddr::V4(v4) => v4.ip().octets()[3],
            SocketAddr::V6(v6) => v6.ip().octets()[15],
        };
        membership.peers().iter().map(host).collect()
    }

    #[test]
    fn an_address_is_a_member_from_the_first_answer_with_it() {
        assert_eq!(hosts_after([found([2, 1, 2]), found([3, 2, 1])]), [vec![1, 2], vec![1, 2, 3]]);
    }

    #[test]
    fn a_member_is_removed_by_the_second_answer_without_it() {
        let after = hosts_after([found(1..=5), found(1..=4), found(1..=4)]);
        assert_eq!(after, [vec![1, 2, 3, 4, 5], vec![1, 2, 3, 4, 5], vec![1, 2, 3, 4]]);
    }

    #[test]
    fn alternating_answers_remove_nobody() {
        let old_and_new = (0..100).map(|turn| if turn % 2 == 0 { found(1..=4) } else { found(3..=6) });
        let after = hosts_after(old_and_new);
        assert!(after[1..].iter().all(|hosts| *hosts == [1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn a_failure_between_two_absences_neither_counts_nor_resets() {
        let after = hosts_after([found(1..=5), found(1..=4), Answer::Failed, found(1..=4)]);
        assert_eq!(after[2], [1, 2, 3, 4, 5]);
        assert_eq!(after[3], [1, 2, 3, 4]);
    }

    #[test]
    fn failures_hold_the_members_for_ever() {
        let mut answers = vec![Answer::Failed; 1000];
        answers[0] = found([1, 2]);
        assert_eq!(hosts_after(answers).last().unwrap(), &[1, 2]);
    }

    #[test]
    fn three_empty_answers_are_survived_and_the_fourth_clears() {
        let mut answers = vec![Answer::Empty; 5];
        answers[0] = found([1, 2]);
        assert_eq!(hosts_after(answers), [vec![1, 2], vec![1, 2], vec![1, 2], vec![1, 2], vec![]]);
    }

    #[test]
    fn an_answer_with_an_address_ends_the_row_of_empty_answers() {
        let empty = Answer::Empty;
        let row = [
            found([1]),
            empty.clone(),
            empty.clone(),
            empty.clone(),
            found([1]),
            empty.clone(),
            empty.clone(),
            empty,
        ];
        assert!(hosts_after(row).iter().all(|hosts| *hosts == [1]));
    }

    #[test]
    fn a_failure_does_not_end_the_row_of_empty_answers() {
        let mut answers = vec![Answer::Empty; 6];
        answers[0] = found([1]);
        answers[2] = Answer::Failed;
        let after = hosts_after(answers);
        assert_eq!(after[4], [1]);
        assert!(after[5].is_empty());
    }

    #[test]
    fn a_set_that_would_halve_needs_a_third_absence() {
        let after = hosts_after([found(1..=4), found(1..=2), found(1..=2), found(1..=2)]);
        assert_eq!(after[2], [1, 2, 3, 4]);
        assert_eq!(after[3], [1, 2]);
    }

    #[test]
    fn a_rollout_that_replaces_every_pod_adds_at_once_and_removes_after_three_answers() {
        let after = hosts_after([found(1..=3), found(4..=6), found(4..=6), found(4..=6)]);
        assert_eq!(after[1], [1, 2, 3, 4, 5, 6]);
        assert_eq!(after[2], [1, 2, 3, 4, 5, 6]);
        assert_eq!(after[3], [4, 5, 6]);
    }

    #[test]
    fn an_incomplete_answer_adds_and_proves_no_absence() {
        let part = || Answer::Incomplete(vec![peer(6)]);
        let after = hosts_after([found(1..=5), part(), part(), part(), part()]);
        assert!(after[1..].iter().all(|hosts| *hosts == [1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn the_families_are_kept_apart() {
        let v6: SocketAddr = "[2001:db8::9]:9000".parse().unwrap();
        let mut membership = Membership::new(2, 100);
        membership.observe([found([1, 2]), Answer::Found(vec![v6])]);
        membership.observe([Answer::Failed, Answer::Empty]);
        assert_eq!((hosts(&membership), membership.held_for()), (vec![1, 2, 9], 1));
        for _ in 0..3 {
            membership.observe([found([1, 2]), Answer::Empty]);
        }
        assert_eq!((hosts(&membership), membership.held_for()), (vec![1, 2], 0));
    }

    #[test]
    fn empty_aaaa_answers_of_an_ipv4_service_are_no_event() {
        let mut membership = Membership::new(2, 100);
        for _ in 0..10 {
            membership.observe([found([1, 2]), Answer::Empty]);
            assert_eq!((hosts(&membership), membership.held_for()), (vec![1, 2], 0));
        }
    }

    #[test]
    fn members_come_before_newcomers_when_there_are_too_many() {
        let mut membership = Membership::new(1, 3);
        membership.observe([found([7, 8])]);
        membership.observe([found([1, 2, 7, 8])]);
        assert_eq!((hosts(&membership), membership.over_limit()), (vec![1, 7, 8], 1));
        // The room of who leaves goes to who waits, in the same answer.
        membership.observe([found([1, 2, 7])]);
        membership.observe([found([1, 2, 7])]);
        assert_eq!((hosts(&membership), membership.over_limit()), (vec![1, 2, 7], 0));
    }

    #[test]
    fn the_limit_is_for_all_families_together() {
        let v6 = |host: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, host], 9000));
        let mut membership = Membership::new(2, 3);
        membership.observe([found([1, 2]), Answer::Found(vec![v6(8), v6(9)])]);
        assert_eq!((hosts(&membership), membership.over_limit()), (vec![1, 2, 8], 1));
    }

    fn any_answer() -> impl Strategy<Value = Answer> {
        prop_oneof![
            6 => prop::collection::vec(0..8u8, 0..8).prop_map(found),
            1 => prop::collection::vec((0..8u8).prop_map(peer), 0..8).prop_map(Answer::Incomplete),
            2 => Just(Answer::Empty),
            2 => Just(Answer::Failed),
        ]
    }

    proptest! {
        /// The oracle looks at the whole history and knows no counters.
        #[test]
        fn nobody_leaves_without_two_absences_or_four_empty_answers(answers in prop::collection::vec(any_answer(), 1..60)) {
            let mut membership = Membership::new(1, 100);
            for turn in 0..answers.len() {
                let before = membership.peers();
                membership.observe([answers[turn].clone()]);
                let after = membership.peers();
                if let Answer::Found(now) | Answer::Incomplete(now) = &answers[turn] {
                    prop_assert!(now.iter().all(|&peer| after.contains(peer)));
                }
                let spoke = || answers[..=turn].iter().rev().filter(|answer| **answer != Answer::Failed);
                let emptied = spoke().take(4).filter(|answer| **answer == Answer::Empty).count() == 4;
                for gone in before.without(&after) {
                    let absences = spoke()
                        .filter(|answer| **answer != Answer::Empty)
                        .take_while(|answer| match answer {
                            Answer::Found(found) | Answer::Incomplete(found) => !found.contains(&gone),
                            _ => false,
                        })
                        .filter(|answer| matches!(answer, Answer::Found(_)))
                        .count();
                    prop_assert!(emptied || absences >= 2, "{gone} left after {absences} absences");
                }
            }
        }
    }
}
