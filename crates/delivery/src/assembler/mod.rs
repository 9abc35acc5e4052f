//! Frames of one stream to trajectories: a state machine without input, output or clock.
//!
//! A malformed trajectory is rejected by itself; the stream stays up. Only what makes the stream
//! meaningless (a frame for a slot that nobody opened, a header without credit) is a
//! [`StreamError`], after which nothing more may be pushed.
//!
//! Memory: a slot that grows holds at most its header's states, which [`Limits`] bound, and there
//! are at most as many of them as credits were granted.

mod growth;

use crate::destination::Destination;
use crate::frame;
use crate::incoming::IncomingTrajectory;
use bytes::Bytes;
use ddpo_proto::convert::{header, score};
use ddpo_proto::limits::Limits;
use ddpo_proto::malformed::Malformed;
use ddpo_proto::stream::Opening;
use ddpo_proto::wire;
use growth::Growth;
use std::collections::HashMap;
use std::sync::Arc;
use thiserror::Error;
use wire::trajectory_frame::Content;

/// One trajectory of one stream: a slot is used again and again, a number never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The sender's slot.
    pub slot: u32,
    /// Counts the trajectories of the stream.
    pub number: u64,
}

/// What a frame brought about.
#[derive(Clone, Debug, PartialEq)]
pub enum AssemblerEvent {
    /// A trajectory begins.
    Opened {
        /// Which.
        ticket: Ticket,
        /// Its header.
        opening: Arc<Opening>,
    },
    /// A state is there in full.
    State {
        /// Its header.
        opening: Arc<Opening>,
        /// Position of the state, 0 for x_T.
        index: usize,
        /// The state.
        state: Bytes,
    },
    /// A trajectory is there in full. Its slot is taken until [`FrameAssembler::release`].
    Complete {
        /// Which.
        ticket: Ticket,
        /// The trajectory.
        trajectory: Box<IncomingTrajectory>,
    },
    /// The sender gave a trajectory up. Its slot is free; its credit is to be granted anew.
    Abandoned {
        /// Its header.
        opening: Arc<Opening>,
        /// Why.
        reason: String,
    },
    /// A trajectory is malformed. What still comes of it is ignored; its credit is to be granted
    /// anew.
    Rejected {
        /// Which.
        ticket: Ticket,
        /// Its id, as far as it can be read.
        trajectory_id: String,
        /// What is wrong.
        error: Malformed,
    },
}

/// Why a stream has lost its meaning.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StreamError {
    /// A frame without content.
    #[error("slot {slot}: expected a header, chunk, footer, score or abandonment, found nothing")]
    NoContent {
        /// Its slot.
        slot: u32,
    },
    /// More headers than credits.
    #[error("slot {slot}: expected a credit for the header, found none left")]
    NoCredit {
        /// The header's slot.
        slot: u32,
    },
    /// A header for a slot that is taken.
    #[error("slot {slot}: expected a free slot for the header, found one in use")]
    SlotInUse {
        /// The header's slot.
        slot: u32,
    },
    /// More slots than the limit.
    #[error("slot {slot}: expected at most {limit} slots in use")]
    TooManySlots {
        /// The header's slot.
        slot: u32,
        /// Slots allowed.
        limit: usize,
    },
    /// A frame for a slot that nobody opened.
    #[error("slot {slot}: expected a header before a {found}")]
    SlotNotOpen {
        /// The slot.
        slot: u32,
        /// Kind of the frame.
        found: &'static str,
    },
    /// A frame after the last one of its trajectory.
    #[error("slot {slot}: expected a receipt to be awaited, found a {found}")]
    AfterEnd {
        /// The slot.
        slot: u32,
        /// Kind of the frame.
        found: &'static str,
    },
}

#[derive(Debug)]
enum Slot {
    /// Its frames are coming.
    Growing(Box<Growth>),
    /// Handed out in full; awaits [`FrameAssembler::release`].
    Answering,
    /// Refused; what is on its way is skipped up to the last frame or a new header.
    Ignoring,
}

/// See the [module](self).
#[derive(Debug)]
pub struct FrameAssembler {
    destination: Destination,
    limits: Limits,
    credits: u32,
    next_number: u64,
    slots: HashMap<u32, (u64, Slot)>,
}

impl FrameAssembler {
    /// An assembler for a fresh stream to `destination`: no slot open, no credit granted.
    pub fn new(destination: Destination, limits: Limits) -> Self {
        Self { destination, limits, credits: 0, next_number: 0, slots: HashMap::new() }
    }

    /// Allows `trajectories` more headers.
    pub fn grant(&mut self, trajectories: u32) {
        self.credits = self.credits.saturating_add(trajectories);
    }

    /// How many headers may come.
    pub fn credits(&self) -> u32 {
        self.credits
    }

    /// Takes one frame.
    ///
    /// # Errors
    /// [`StreamError`] when the stream has lost its meaning; it is then to be closed.
    pub fn push(
        &mut self,
        frame: wire::TrajectoryFrame,
    ) -> Result<Option<AssemblerEvent>, StreamError> {
        let slot = frame.slot;
        match frame.content.ok_or(StreamError::NoContent { slot })? {
            Content::Header(header) => self.open(slot, header).map(Some),
            content => self.advance(slot, content),
        }
    }

    /// Frees the slot of a trajectory that was handed out; to be called with its receipt. Returns
    /// false if it holds that trajectory no more.
    pub fn release(&mut self, ticket: Ticket) -> bool {
        let held = matches!(
            self.slots.get(&ticket.slot),
            Some((number, Slot::Answering)) if *number == ticket.number
        );
        if held {
            self.slots.remove(&ticket.slot);
        }
        held
    }

    /// Gives up a trajectory that still grows: what comes of it is ignored from now on. Returns
    /// false if it does not grow any more.
    pub fn refuse(&mut self, ticket: Ticket) -> bool {
        match self.slots.get_mut(&ticket.slot) {
            Some((number, slot @ Slot::Growing(_))) if *number == ticket.number => {
                *slot = Slot::Ignoring;
                true
            }
            _ => false,
        }
    }

    /// The trajectories that are not complete.
    pub fn growing(&self) -> impl Iterator<Item = &Arc<Opening>> {
        self.slots.values().filter_map(|(_, state)| match state {
            Slot::Growing(growth) => Some(growth.opening()),
            Slot::Answering | Slot::Ignoring => None,
        })
    }

    /// How many trajectories were handed out and not released.
    pub fn answering(&self) -> usize {
        self.slots.values().filter(|(_, slot)| matches!(slot, Slot::Answering)).count()
    }

    /// Bytes of states that are held here.
    pub fn held_bytes(&self) -> usize {
        let held = |(_, slot): &(u64, Slot)| match slot {
            Slot::Growing(growth) => growth.held_bytes(),
            Slot::Answering | Slot::Ignoring => 0,
        };
        self.slots.values().map(held).sum()
    }

    fn open(
        &mut self,
        slot: u32,
        message: wire::TrajectoryHeader,
    ) -> Result<AssemblerEvent, StreamError> {
        match self.slots.get(&slot) {
            Some((_, Slot::Growing(_) | Slot::Answering)) => {
                return Err(StreamError::SlotInUse { slot });
            }
            None if self.slots.len() >= self.limits.max_slots => {
                return Err(StreamError::TooManySlots { slot, limit: self.limits.max_slots });
            }
            Some((_, Slot::Ignoring)) | None => {}
        }
        self.credits = self.credits.checked_sub(1).ok_or(StreamError::NoCredit { slot })?;
        let ticket = Ticket { slot, number: self.next_number };
        self.next_number += 1;
        let trajectory_id = frame::shown_id(&message.trajectory_id, &self.limits);
        match header::from_wire(message, &self.limits) {
            Ok(opening) => {
                let opening = Arc::new(opening);
                let growth = Box::new(Growth::new(Arc::clone(&opening)));
                self.slots.insert(slot, (ticket.number, Slot::Growing(growth)));
                Ok(AssemblerEvent::Opened { ticket, opening })
            }
            Err(error) => {
                self.slots.insert(slot, (ticket.number, Slot::Ignoring));
                Ok(AssemblerEvent::Rejected { ticket, trajectory_id, error })
            }
        }
    }

    fn advance(
        &mut self,
        slot: u32,
        content: Content,
    ) -> Result<Option<AssemblerEvent>, StreamError> {
        let found = kind(&content);
        let Some((number, state)) = self.slots.get_mut(&slot) else {
            return Err(StreamError::SlotNotOpen { slot, found });
        };
        let ticket = Ticket { slot, number: *number };
        match state {
            Slot::Answering => Err(StreamError::AfterEnd { slot, found }),
            Slot::Ignoring => {
                if self.is_last(&content) {
                    self.slots.remove(&slot);
                }
                Ok(None)
            }
            Slot::Growing(growth) => {
                let (limits, destination) = (&self.limits, self.destination);
                let event = match feed(growth, content, ticket, destination, limits) {
                    Ok(event) => event,
                    Err(error) => {
                        let trajectory_id = growth.opening().identity.trajectory_id.clone();
                        *state = Slot::Ignoring;
                        Some(AssemblerEvent::Rejected { ticket, trajectory_id, error })
                    }
                };
                match &event {
                    Some(AssemblerEvent::Complete { .. }) => *state = Slot::Answering,
                    Some(AssemblerEvent::Abandoned { .. }) => drop(self.slots.remove(&slot)),
                    _ => {}
                }
                Ok(event)
            }
        }
    }

    /// Whether nothing of the trajectory comes after this frame.
    fn is_last(&self, content: &Content) -> bool {
        match content {
            Content::Abandoned(_) => true,
            Content::Footer(_) => self.destination == Destination::Rewarder,
            Content::Score(_) => self.destination == Destination::Learner,
            Content::Header(_) | Content::Chunk(_) => false,
        }
    }
}

fn feed(
    growth: &mut Growth,
    content: Content,
    ticket: Ticket,
    destination: Destination,
    limits: &Limits,
) -> Result<Option<AssemblerEvent>, Malformed> {
    let complete =
        |trajectory| Some(AssemblerEvent::Complete { ticket, trajectory: Box::new(trajectory) });
    match content {
        Content::Header(_) => Ok(None),
        Content::Chunk(chunk) => Ok(growth.chunk(chunk, limits)?.map(|(position, state)| {
            let opening = Arc::clone(growth.opening());
            let index = opening.header.kept_states[position];
            AssemblerEvent::State { opening, index, state }
        })),
        Content::Footer(footer) => {
            growth.footer(footer)?;
            Ok(match destination {
                Destination::Rewarder => complete(growth.take(None)),
                Destination::Learner => None,
            })
        }
        Content::Score(_) if destination == Destination::Rewarder => Err(Malformed::ScoreForbidden),
        Content::Score(_) if !growth.has_footer() => Err(Malformed::ScoreBeforeFooter),
        Content::Score(message) => {
            Ok(complete(growth.take(Some(score::from_wire(message, limits)?))))
        }
        Content::Abandoned(message) => Ok(Some(AssemblerEvent::Abandoned {
            opening: Arc::clone(growth.opening()),
            reason: frame::reason(&message, limits),
        })),
    }
}

fn kind(content: &Content) -> &'static str {
    match content {
        Content::Header(_) => "header",
        Content::Chunk(_) => "chunk",
        Content::Footer(_) => "footer",
        Content::Score(_) => "score",
        Content::Abandoned(_) => "abandonment",
    }
}
