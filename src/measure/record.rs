//! A [`Record`] is what a bench, probe, experiment or training run leaves behind: every sample, the conditions it was
//! taken under, the machine and the build. Reports read records and compute nothing.

use serde::{Deserialize, Serialize};

/// Version of the layout below; a reader refuses a newer one.
pub const SCHEMA: u32 = 1;

/// One measurement, whole. Written as `reports/raw/<name>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Layout version, [`SCHEMA`].
    pub schema: u32,
    /// File stem and identity within a report, such as `gemm-alignment`.
    pub name: String,
    /// Heading of its section.
    pub title: String,
    /// The question that this record answers, one sentence.
    pub question: String,
    /// Sizes were shrunk to be quick; readers are told.
    pub quick: bool,
    /// When it started, seconds since 1970-01-01 UTC.
    pub started_unix_s: u64,
    /// How long all of it took.
    pub elapsed_s: f64,
    /// The command that repeats it.
    pub command: String,
    /// Facts of the build that made it.
    pub build: Build,
    /// The machine's identity: what does not change.
    pub machine: Machine,
    /// What was measured.
    pub body: Body,
}

/// Facts recorded by `build.rs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Package version.
    pub version: String,
    /// Git commit, with `+` behind it when the tree had changes; empty outside a checkout.
    pub commit: String,
    /// `rustc --version`.
    pub rustc: String,
    /// Target triple.
    pub target: String,
    /// Cargo profile.
    pub profile: String,
    /// `RUSTFLAGS`, if any.
    pub rustflags: String,
}

/// Identity of a machine. Never the momentary clock, load or free memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// CPU brand string.
    pub cpu: String,
    /// CPU family, model and stepping; `None` where unknown.
    pub family_model_stepping: Option<(u32, u32, u32)>,
    /// Physical cores.
    pub cores: usize,
    /// Logical CPUs that this process may use.
    pub cpus: usize,
    /// ISAs that kernels can run on here, fastest first, by id (`avx512`, `avx2`, `portable`).
    pub isas: Vec<String>,
    /// Data and unified caches of CPU 0, from the first level up.
    pub caches: Vec<Cache>,
    /// Installed memory in bytes.
    pub memory_bytes: u64,
    /// Operating system and kernel version.
    pub os: String,
    /// Hypervisor's name, if there is one.
    pub hypervisor: Option<String>,
}

/// One cache as the machine claims it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// 1, 2 or 3.
    pub level: u32,
    /// `data`, `unified`.
    pub kind: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Line size in bytes; 0 if not claimed.
    pub line_bytes: u32,
    /// Ways of associativity, if claimed.
    pub ways: Option<u32>,
    /// How many logical CPUs share it, if claimed.
    pub shared_by: Option<u32>,
}

/// What a record holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// Contestants timed in turn.
    Bench(Bench),
    /// A training run.
    Training(Training),
    /// A search for a learning rate.
    Rates(super::RateSearch),
    /// A hyperparameter search.
    Search(Box<super::Search>),
    /// Samplers on functions with known optima.
    Surrogates(super::Surrogates),
    /// Kernels checked against their oracle.
    SelfTest(SelfTest),
    /// The memory system, claimed and measured.
    Probe(Box<super::Probe>),
    /// A question of the notebook.
    Experiment(Box<super::Experiment>),
}

/// Contestants timed in turn, round by round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// Worker threads each contestant used.
    pub threads: usize,
    /// What one unit of `work` is: `flop` or `byte`.
    pub unit: String,
    /// Highest FMA rate seen by the probe in this run, GFLOP/s, for `threads` threads.
    pub peak_gflops: f64,
    /// Cases, such as `1024x1024x1024`.
    pub cases: Vec<Case>,
    /// Every round, kept or not.
    pub rounds: Vec<Round>,
    /// Every sample.
    pub samples: Vec<Sample>,
    /// Cases of one contestant held against each other. Empty as a rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
    /// What a reader must know: cases that ended with fewer rounds than wanted, and why. Empty as a rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One case of a bench and what came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Name, such as `1025 cubed`.
    pub name: String,
    /// Where it lies on a chart's x axis (a size, say).
    pub x: f64,
    /// Work of one call in [`Bench::unit`]s.
    pub work: f64,
    /// One entry a contestant, in a fixed order, ours first. Empty if no round was left undisturbed ([`Bench::notes`]).
    pub results: Vec<CaseResult>,
}

/// What one contestant did in one case, over the kept rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// Contestant id, such as `sgemm-avx2-6x16` or `gemm-crate`.
    pub contestant: String,
    /// Kept samples.
    pub samples: usize,
    /// Median over the rounds of the time of one call (the mean over a contestant's turns in that round).
    #[serde(deserialize_with = "lost::number")]
    pub median_ns: f64,
    /// Fastest time of one call.
    #[serde(deserialize_with = "lost::number")]
    pub min_ns: f64,
    /// Bounds of the median's 95 percent interval (order statistics); the whole range, which covers less, below 6 rounds.
    #[serde(deserialize_with = "lost::pair")]
    pub interval_ns: (f64, f64),
    /// Work over median time, in giga-units a second (GFLOP/s or GB/s).
    #[serde(deserialize_with = "lost::number")]
    pub rate: f64,
    /// Percent of the peak, by the fastest sample against the fastest probe of the run (in bytes: against the case's
    /// contestant `copy`; 0 if it has none).
    #[serde(deserialize_with = "lost::number")]
    pub percent_of_peak: f64,
    /// Median over rounds of (peer's time / this contestant's time), for each other contestant: above 1 is faster than the peer.
    pub ratios: Vec<Ratio>,
    /// Largest |got - oracle| over its bound before timing: at most 1.
    #[serde(deserialize_with = "lost::number")]
    pub error_over_bound: f64,
}

/// A per-round ratio, summarised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The other contestant.
    pub peer: String,
    /// Median over the kept rounds.
    #[serde(deserialize_with = "lost::number")]
    pub median: f64,
    /// Its 95 percent interval.
    #[serde(deserialize_with = "lost::pair")]
    pub interval: (f64, f64),
}

/// One contestant's rate in a case over its rate in another that ran in the same rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What the cases differ in, such as `base address`.
    pub group: String,
    /// The case.
    pub case: String,
    /// What it is held against.
    pub base: String,
    /// Contestant id.
    pub contestant: String,
    /// Median over the rounds of the case's rate over the base's: below 1 it costs.
    #[serde(deserialize_with = "lost::number")]
    pub median: f64,
    /// Its 95 percent interval.
    #[serde(deserialize_with = "lost::pair")]
    pub interval: (f64, f64),
}

/// Conditions of one round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Case name.
    pub case: String,
    /// Number within the case, from 0.
    pub round: u32,
    /// When it began, seconds after the record's start.
    pub at_s: f64,
    /// Share that the hypervisor took of the CPU time that was wanted during the round, 0 to 1; `None` where the system does not tell.
    pub steal: Option<f64>,
    /// One-minute load average; `None` where the system does not tell.
    pub load: Option<f64>,
    /// FMA-peak probe beside the round, GFLOP/s: the lower of those before and after it.
    pub peak_gflops: f64,
    /// Cache probe beside the round, GB/s: the lower of those before and after it; `None` if none was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_gbs: Option<f64>,
    /// Why it was dropped; `None` if it was kept. Never for its time.
    pub dropped: Option<String>,
}

/// One timed sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Case name.
    pub case: String,
    /// Contestant id.
    pub contestant: String,
    /// Process launch it came from.
    pub launch: u32,
    /// Round within the case.
    pub round: u32,
    /// Place in the round's order, from 0.
    pub place: u32,
    /// Calls in the sample.
    pub calls: u64,
    /// Time of all calls.
    pub elapsed_ns: u64,
}

/// A training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Widths, input first.
    pub layers: Vec<usize>,
    /// Hyperparameters as the command line spells them, in order: (`lr`, `0.1`).
    pub settings: Vec<(String, String)>,
    /// Device that ran it.
    pub device: String,
    /// Kernel of the products, such as `sgemm-avx2-6x16`.
    pub kernel: String,
    /// Worker threads.
    pub threads: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// Where the data came from.
    pub data: String,
    /// Rows to train on.
    pub train_rows: usize,
    /// Rows to test on.
    pub test_rows: usize,
    /// Trained numbers in the model.
    pub parameters: usize,
    /// Mean loss of the untrained model on the training set's first batch.
    #[serde(deserialize_with = "lost::number")]
    pub first_loss: f64,
    /// One entry an epoch.
    pub epochs: Vec<Epoch>,
    /// What the trained model says of the test set, behind the last epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classification: Option<super::Classification>,
}

/// The notebook's four figures, and the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Sum of the rows' losses while training, over the rows.
    #[serde(deserialize_with = "lost::number")]
    pub train_loss: f64,
    /// Mean loss on the test set after the epoch.
    #[serde(deserialize_with = "lost::number")]
    pub test_loss: f64,
    /// Share of the training set that is right after the epoch.
    #[serde(deserialize_with = "lost::number")]
    pub train_acc: f64,
    /// Share of the test set that is right after the epoch.
    #[serde(deserialize_with = "lost::number")]
    pub test_acc: f64,
    /// Mean loss on the rows that were held back to validate on, after the epoch; `None` without such rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// Share of them that is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_acc: Option<f64>,
    /// The whole epoch, evaluations included.
    #[serde(deserialize_with = "lost::number")]
    pub seconds: f64,
    /// Rows a second in the training part.
    #[serde(deserialize_with = "lost::number")]
    pub samples_per_s: f64,
    /// Each layer on one batch after the epoch, if that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerStats>,
}

/// What one layer does with one batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerStats {
    /// From 1.
    pub layer: usize,
    /// Euclidean norm of the gradient of all its parameters.
    #[serde(deserialize_with = "lost::number")]
    pub gradient_norm: f64,
    /// Share of units whose output is 0 for every row; `None` for the output layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_units: Option<f64>,
    /// Share of outputs that are 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<f64>,
}

/// Kernels checked against their oracle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    /// One entry a kernel and ISA.
    pub checks: Vec<Check>,
}

/// One kernel against its oracle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Kernel id.
    pub kernel: String,
    /// ISA id.
    pub isa: String,
    /// Cases run.
    pub cases: usize,
    /// Largest error over its bound; at most 1 when right.
    #[serde(deserialize_with = "lost::number")]
    pub error_over_bound: f64,
    /// Whether every case was within its bound; false if any was NaN.
    pub passed: bool,
}

/// JSON has no NaN or infinity: serde_json writes both as null, and would then refuse to read the record of the very run
/// that somebody wants to look at. A null comes back as NaN.
pub(super) mod lost {
    use serde::{Deserialize, Deserializer};

    pub fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
    }

    pub fn pair<'de, D: Deserializer<'de>>(from: D) -> Result<(f64, f64), D::Error> {
        let (low, high): (Option<f64>, Option<f64>) = Deserialize::deserialize(from)?;
        Ok((low.unwrap_or(f64::NAN), high.unwrap_or(f64::NAN)))
    }

    pub fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
        let list: Vec<Option<f64>> = Deserialize::deserialize(from)?;
        Ok(list.into_iter().map(|x| x.unwrap_or(f64::NAN)).collect())
    }
}
