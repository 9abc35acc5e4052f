//! Assembles the frames of one stream to trajectories: a state machine without I/O or clock.
//!
//! A malformed trajectory is rejected individually, and the stream stays open. Only errors that
//! invalidate the stream (a frame for a slot that is not open, a header without credit) are a
//! [`StreamError`]; then push no more frames.
//!
//! Memory: each open slot holds at most its header's states, which [`Limits`] bound. There are at
//! most as many open slots as granted credits.

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

/// Identifies one trajectory of a stream: slots are reused, numbers are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The sender's slot.
    pub slot: u32,
    /// Number of the trajectory in the stream.
    pub number: u64,
}

/// The effect of a frame.
#[derive(Clone, Debug, PartialEq)]
pub enum AssemblerEvent {
    /// A trajectory begins.
    Opened {
        /// The trajectory.
        ticket: Ticket,
        /// Its header.
        opening: Arc<Opening>,
    },
    /// A state is complete.
    State {
        /// Its header.
        opening: Arc<Opening>,
        /// Position of the state, 0 for x_T.
        index: usize,
        /// The state.
        state: Bytes,
    },
    /// A trajectory is complete. Its slot stays in use until [`FrameAssembler::release`].
    Complete {
        /// The slot and number.
        ticket: Ticket,
        /// The trajectory.
        trajectory: Box<IncomingTrajectory>,
    },
    /// The sender abandoned a trajectory. Its slot is free; its credit must be granted again.
    Abandoned {
        /// Its header.
        opening: Arc<Opening>,
        /// The reason.
        reason: String,
    },
    /// A trajectory is malformed. Its further frames are ignored; its credit must be granted again.
    Rejected {
        /// The trajectory.
        ticket: Ticket,
        /// Its id, as far as it is readable.
        trajectory_id: String,
        /// The mistake.
        error: Malformed,
    },
}

/// Errors that invalidate a stream.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StreamError {
    /// A frame without content.
    #[error("slot {slot}: expected a header, chunk, footer, score or abandonment, found nothing")]
    NoContent {
        /// The frame's slot.
        slot: u32,
    },
    /// More headers than credits.
    #[error("slot {slot}: expected a credit for the header, found none left")]
    NoCredit {
        /// The header's slot.
        slot: u32,
    },
    /// A header for a slot in use.
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
    /// A frame for a slot that is not open.
    #[error("slot {slot}: expected a header before a {found}")]
    SlotNotOpen {
        /// The slot.
        slot: u32,
        /// Kind of the frame.
        found: &'static str,
    },
    /// A frame after the last frame of its trajectory.
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
    /// Frames are arriving.
    Growing(Box<Growth>),
    /// Complete; waits for [`FrameAssembler::release`].
    Answering,
    /// Rejected; frames are skipped up to the last one or a new header.
    Ignoring,
}

/// Assembles the frames of one stream; see the [module](self).
#[derive(Debug)]
pub struct FrameAssembler {
    destination: Destination,
    limits: Limits,
    credits: u32,
    next_number: u64,
    slots: HashMap<u32, (u64, Slot)>,
}

impl FrameAssembler {
    /// Creates an assembler for a new stream to `destination`, without open slots or credits.
    pub fn new(destination: Destination, limits: Limits) -> Self {
        Self { destination, limits, credits: 0, next_number: 0, slots: HashMap::new() }
    }

    /// Grants `trajectories` more credits.
    pub fn grant(&mut self, trajectories: u32) {
        self.credits = self.credits.saturating_add(trajectories);
    }

    /// Returns the number of credits left.
    pub fn credits(&self) -> u32 {
        self.credits
    }

    /// Takes one frame.
    ///
    /// # Errors
    /// [`StreamError`] if the stream is invalid and must be closed.
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

    /// Frees the slot of a complete trajectory when its receipt is sent. Returns `false` if the
    /// slot does not hold that trajectory.
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

    /// Rejects an incomplete trajectory and ignores its further frames. Returns `false` if it is
    /// not growing.
    pub fn refuse(&mut self, ticket: Ticket) -> bool {
        match self.slots.get_mut(&ticket.slot) {
            Some((number, slot @ Slot::Growing(_))) if *number == ticket.number => {
                *slot = Slot::Ignoring;
                true
            }
            _ => false,
        }
    }

    /// Returns the incomplete trajectories.
    pub fn growing(&self) -> impl Iterator<Item = &Arc<Opening>> {
        self.slots.values().filter_map(|(_, state)| match state {
            Slot::Growing(growth) => Some(growth.opening()),
            Slot::Answering | Slot::Ignoring => None,
        })
    }

    /// Returns the number of complete trajectories that were not released.
    pub fn answering(&self) -> usize {
        self.slots.values().filter(|(_, slot)| matches!(slot, Slot::Answering)).count()
    }

    /// Returns the bytes of states held by the assembler.
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

    /// Returns whether this frame is the last of its trajectory.
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
