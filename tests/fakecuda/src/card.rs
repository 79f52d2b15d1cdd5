//! The card: memory, modules, streams and what waits in them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hasher};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tilelab_ptxsim::{Arg, Launch, Machine, Module, Options};

/// `CUresult`.
pub(crate) type Code = u32;
pub(crate) const SUCCESS: Code = 0;
pub(crate) const INVALID_VALUE: Code = 1;
pub(crate) const OUT_OF_MEMORY: Code = 2;
pub(crate) const INVALID_DEVICE: Code = 101;
pub(crate) const INVALID_PTX: Code = 218;
pub(crate) const INVALID_HANDLE: Code = 400;
pub(crate) const NOT_FOUND: Code = 500;
pub(crate) const NOT_READY: Code = 600;
pub(crate) const OUT_OF_RESOURCES: Code = 701;
pub(crate) const PEER_ACCESS_ALREADY_ENABLED: Code = 704;
pub(crate) const LAUNCH_FAILED: Code = 719;

/// A launch with the values of its arguments at the time of the call.
#[derive(Clone)]
pub(crate) struct Launched {
    pub function: usize,
    pub launch: Launch,
    pub args: Vec<Arg>,
}

/// A copy from or to the host, which reads or writes the host's memory when its turn comes.
pub(crate) struct HostCopy {
    /// An address of the card.
    card: u64,
    /// An address of the host.
    host: usize,
    bytes: usize,
    /// Of a copy from the host: what lay there when it was asked for; until it is done, nobody may write there.
    seen: Option<u64>,
}

impl HostCopy {
    pub fn up(to: u64, from: &[u8]) -> Self {
        Self {
            card: to,
            host: from.as_ptr() as usize,
            bytes: from.len(),
            seen: Some(digest(from)),
        }
    }

    pub fn down(to: *mut u8, from: u64, bytes: usize) -> Self {
        Self {
            card: from,
            host: to as usize,
            bytes,
            seen: None,
        }
    }

    fn perform(&self, machine: &mut Machine) -> Result<(), String> {
        let done = match self.seen {
            Some(seen) => {
                // SAFETY: the caller of cuMemcpyHtoDAsync keeps the memory until an event or a wait tells it that the copy is done; memory
                // pinned by us is kept while copies wait (`Card::unpin`).
                let data = unsafe { std::slice::from_raw_parts(self.host as *const u8, self.bytes) };
                if digest(data) != seen {
                    let (bytes, to) = (self.bytes, self.card);
                    return Err(format!(
                        "the host wrote memory from which a copy of {bytes} bytes to {to:#x} was still to be made"
                    ));
                }
                machine.write(self.card, data)
            }
            None => {
                // SAFETY: as above, of cuMemcpyDtoHAsync.
                let data = unsafe { std::slice::from_raw_parts_mut(self.host as *mut u8, self.bytes) };
                machine.read(self.card, data)
            }
        };
        done.map_err(|finding| finding.to_string())
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// What waits in a stream.
pub(crate) enum Work {
    Launch(Launched),
    Copy(HostCopy),
    /// To, from, bytes, all on the card.
    CopyWithin(u64, u64, usize),
    Zero(u64, usize),
    /// The event reaches this ticket.
    Record(u64),
    /// Not before the ticket is reached.
    Wait(u64),
}

#[derive(Default)]
pub(crate) struct Stream {
    pub queue: VecDeque<Work>,
    /// What a capture under way has seen.
    pub capture: Option<Vec<Launched>>,
}

pub(crate) struct Card {
    pub machine: Machine,
    pub modules: Vec<Module>,
    /// Module and name.
    pub functions: Vec<(usize, String)>,
    /// Dynamic shared memory that functions have asked for.
    pub opt_in: HashMap<usize, usize>,
    /// Pinned memory by its address.
    pinned: HashMap<usize, Box<[u64]>>,
    pub streams: HashMap<u64, Stream>,
    pub graphs: HashMap<u64, Vec<Launched>>,
    /// The ticket that each event was last recorded with; 0: never.
    pub events: HashMap<u64, u64>,
    /// Tickets that are behind us, and when they were reached.
    reached: HashMap<u64, u64>,
    /// Pieces of work done: all the time that there is in here.
    clock: u64,
    next: u64,
    rng: ChaCha8Rng,
    pub used: usize,
    pub bytes: usize,
    /// The context that each allocation was made in, by its address.
    pub homes: HashMap<u64, u64>,
    /// Contexts that may reach into others.
    pub reach: HashSet<(u64, u64)>,
    failed: bool,
}

/// A number from the environment.
pub(crate) fn setting(name: &str, or: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(or)
}

/// Whether the host shall be one that forgot this call: it succeeds and does nothing.
pub(crate) fn forgotten(call: &str) -> bool {
    std::env::var("FAKECUDA_FORGET").is_ok_and(|forgotten| forgotten == call)
}

impl Card {
    pub fn new() -> Self {
        let seed = setting("FAKECUDA_SEED", 0) as u64;
        Self {
            machine: Machine::new(Options {
                seed,
                ..Options::default()
            }),
            modules: Vec::new(),
            functions: Vec::new(),
            opt_in: HashMap::new(),
            pinned: HashMap::new(),
            streams: HashMap::new(),
            graphs: HashMap::new(),
            events: HashMap::new(),
            reached: HashMap::from([(0, 0)]),
            clock: 0,
            next: 1,
            rng: ChaCha8Rng::seed_from_u64(seed),
            used: 0,
            bytes: setting("FAKECUDA_BYTES", 1 << 30),
            homes: HashMap::new(),
            reach: HashSet::new(),
            failed: false,
        }
    }

    /// A handle, or a ticket, that nobody has yet.
    pub fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn status(&self) -> Code {
        if self.failed { LAUNCH_FAILED } else { SUCCESS }
    }

    fn is_reached(&self, ticket: u64) -> bool {
        self.reached.contains_key(&ticket)
    }

    /// The ticket that an event was last recorded with; 0 if never.
    pub fn ticket(&self, event: u64) -> u64 {
        self.events.get(&event).copied().unwrap_or(0)
    }

    /// Whether an event has been reached; one that was never recorded counts as reached.
    pub fn query(&self, event: u64) -> Code {
        if self.is_reached(self.ticket(event)) {
            self.status()
        } else {
            NOT_READY
        }
    }

    /// Pieces of work from one event to another.
    pub fn work_between(&self, start: u64, end: u64) -> Result<i64, Code> {
        let [start, end] = [start, end].map(|event| self.ticket(event));
        if start == 0 || end == 0 {
            return Err(INVALID_HANDLE);
        }
        match (self.reached.get(&start), self.reached.get(&end)) {
            (Some(&start), Some(&end)) => Ok(end as i64 - start as i64),
            _ => Err(NOT_READY),
        }
    }

    /// Whether a stream's next piece of work may run.
    fn may_run(&self, stream: &Stream) -> bool {
        match stream.queue.front() {
            None => false,
            Some(&Work::Wait(ticket)) => self.is_reached(ticket),
            Some(_) => true,
        }
    }

    /// Runs work in any allowed order until `done`; pieces of streams that nobody waits for run or do not.
    pub fn run_until(&mut self, done: impl Fn(&Self) -> bool) -> Code {
        while !done(self) {
            let mut ready: Vec<u64> = self
                .streams
                .iter()
                .filter(|(_, stream)| self.may_run(stream))
                .map(|(&id, _)| id)
                .collect();
            ready.sort_unstable();
            if ready.is_empty() {
                self.fail("streams wait for events that nobody records");
                break;
            }
            let id = ready[self.rng.random_range(0..ready.len())];
            let work = self.streams.get_mut(&id).and_then(|stream| stream.queue.pop_front());
            if let Some(work) = work {
                self.perform(work);
            }
        }
        self.status()
    }

    pub fn run_stream(&mut self, id: u64) -> Code {
        self.run_until(|card| card.streams.get(&id).is_none_or(|stream| stream.queue.is_empty()))
    }

    pub fn run_all(&mut self) -> Code {
        self.run_until(|card| card.streams.values().all(|stream| stream.queue.is_empty()))
    }

    pub fn run_to(&mut self, ticket: u64) -> Code {
        self.run_until(|card| card.is_reached(ticket))
    }

    /// Memory of the host, of no particular value.
    pub fn pin(&mut self, bytes: usize) -> *mut u64 {
        let mut words = vec![0xa5a5_a5a5_a5a5_a5a5u64; bytes.div_ceil(8).max(1)].into_boxed_slice();
        let data = words.as_mut_ptr();
        self.pinned.insert(data as usize, words);
        data
    }

    /// Gives pinned memory back; a copy that still waits for it is a finding.
    pub fn unpin(&mut self, data: usize) -> Code {
        let Some(words) = self.pinned.remove(&data) else {
            return INVALID_VALUE;
        };
        let range = data..data + 8 * words.len();
        let mut works = self.streams.values().flat_map(|stream| &stream.queue);
        if works.any(|work| matches!(work, Work::Copy(copy) if range.contains(&copy.host))) {
            self.fail("the host freed memory from or to which a copy was still to be made");
        }
        self.status()
    }

    /// Something was done.
    pub fn tick(&mut self) {
        self.clock += 1;
    }

    fn perform(&mut self, work: Work) {
        self.tick();
        // After a fault nothing runs, but whoever waits must come back.
        let done = match work {
            Work::Record(ticket) => {
                self.reached.insert(ticket, self.clock);
                Ok(())
            }
            Work::Wait(_) => Ok(()),
            _ if self.failed => Ok(()),
            Work::Launch(launched) => {
                let (module, name) = &self.functions[launched.function];
                self.machine
                    .launch(&self.modules[*module], name, launched.launch, &launched.args)
                    .map(|_| ())
                    .map_err(|finding| finding.to_string())
            }
            Work::Copy(copy) => copy.perform(&mut self.machine),
            Work::CopyWithin(to, from, bytes) => {
                let mut data = vec![0; bytes];
                let copied = self.machine.read(from, &mut data);
                let copied = copied.and_then(|()| self.machine.write(to, &data));
                copied.map_err(|finding| finding.to_string())
            }
            Work::Zero(to, bytes) => {
                let done = self.machine.write(to, &vec![0; bytes]);
                done.map_err(|finding| finding.to_string())
            }
        };
        if let Err(what) = done {
            self.fail(&what);
        }
    }

    /// Ends all work.
    fn fail(&mut self, what: &str) {
        eprintln!("fakecuda: {what}");
        self.failed = true;
    }

    /// A finding ends all work.
    pub fn note(&mut self, found: Result<(), tilelab_ptxsim::Finding>) {
        if let Err(finding) = found {
            self.fail(&finding.to_string());
        }
    }
}
