//! What an experiment found, as data: the report makes the sentence.

use serde::{Deserialize, Serialize};

use crate::measure::record::lost;

/// What came out. An experiment chooses its variant from its data; [`Finding::ChecksFailed`] takes the place of any of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "found", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// Something that must hold does not: no other finding stands.
    ChecksFailed {
        /// Names of the checks.
        failed: Vec<String>,
    },
    /// Every derivative is the slope of its function.
    DerivativesHold {
        /// Activations that were compared.
        activations: usize,
        /// Largest difference over its bound.
        error_over_bound: f64,
    },
    /// Softmax overflows without the subtraction and not with it; two classes are one logit.
    SoftmaxStable {
        /// The smallest largest logit of a row that was lost.
        #[serde(deserialize_with = "lost::number")]
        overflows_from: f64,
        /// Largest difference of the two losses.
        ulps: f64,
    },
    /// tanh(x) + 1 = 2 sigmoid(2x), for numbers and networks.
    SigmoidIsTanh {
        /// Largest difference in ulp of 1.
        ulps: f64,
        /// Largest difference of the networks' outputs.
        network_error: f64,
    },
    /// A deep linear network is one layer.
    LinearCollapses {
        /// Largest difference of the two.
        error: f64,
        /// Rank of the 3-2-3 product.
        bottleneck_rank: usize,
        /// Rank of a 3 x 3 layer.
        layer_rank: usize,
    },
    /// Networks of relus are straight between breakpoints and meet there.
    PiecewiseLinear {
        /// Most pieces along the line.
        pieces: usize,
        /// Regions on the plane.
        regions: usize,
    },
    /// Batch norm loses a batch of one, and answers by the company a sample keeps.
    BatchNormDepends {
        /// Largest output of the batch of one.
        single: f64,
        /// The sample's first number in the first batch.
        first: f64,
        /// In the second.
        second: f64,
    },
    /// Gradients vanish towards the first layer under sigmoid, and not under relu with He's weights.
    GradientsVanish {
        /// First layer's gradient norm over the last's: sigmoid.
        sigmoid: f64,
        /// tanh.
        tanh: f64,
        /// relu.
        relu: f64,
    },
    /// They do not.
    GradientsSurvive {
        /// The same ratio of sigmoid.
        sigmoid: f64,
    },
    /// The equations' gradients are those of central differences.
    GradientsAgree {
        /// Numbers that were compared.
        parameters: usize,
        /// Largest difference.
        error: f64,
    },
    /// Formula, list, program and device agree, but for what the formula leaves out.
    FootprintReconciled {
        /// Numbers for training by the notebook's formula.
        formula: u64,
        /// By its list.
        listed: u64,
        /// Bytes that the device holds for training at the largest width, over the list's bytes.
        held_over_listed: f64,
    },
    /// A network learned; `near` if it ended where the notebook's did.
    Learned {
        /// Train loss of the last epoch, mean of the seeds.
        train_loss: f64,
        /// Test accuracy behind it.
        test_acc: f64,
        /// Whether every figure that is held to the notebook's is met; `None` where none is held.
        near: Option<bool>,
    },
    /// A linear model fails where a hidden layer does not.
    LinearFails {
        /// Test accuracy on images of both polarities, without a hidden layer.
        linear: f64,
        /// With one.
        hidden: f64,
    },
    /// It does as well.
    LinearSuffices {
        /// As above.
        linear: f64,
        /// As above.
        hidden: f64,
    },
    /// Units of relu die as the learning rate grows; leaky ones do not.
    UnitsDie {
        /// Largest share of dead units under relu.
        relu: f64,
        /// The learning rate there.
        lr: f64,
        /// The largest under leaky relu and prelu.
        leaky: f64,
    },
    /// No unit died.
    NoUnitDies,
    /// A wider layer fits better, at its price.
    WiderIsBetter {
        /// Narrowest and widest.
        units: (usize, usize),
        /// Test accuracies of the two.
        test_acc: (f64, f64),
        /// Seconds of the widest over those of the narrowest.
        times: f64,
    },
    /// It does not.
    WiderIsNoBetter {
        /// As above.
        units: (usize, usize),
        /// As above.
        test_acc: (f64, f64),
    },
    /// From this depth on small first weights never leave the loss of guessing; He's do.
    DepthStalls {
        /// Hidden layers of the shallowest network that stayed.
        hidden: usize,
        /// Train loss of the deepest from He's weights.
        he_train_loss: f64,
    },
    /// Every depth left.
    DepthLearns {
        /// Train loss of the deepest from small weights.
        train_loss: f64,
    },
    /// One hidden unit holds the network back.
    NeuronLimits {
        /// Test accuracy through one unit.
        one: f64,
        /// With 256.
        control: f64,
        /// Classes that the network can answer at all.
        classes: usize,
    },
    /// It does not.
    NeuronIsEnough {
        /// As above.
        one: f64,
        /// As above.
        control: f64,
    },
    /// The best rate, and whether the largest is unstable.
    BestRate {
        /// The rate.
        lr: f64,
        /// Its test accuracy.
        test_acc: f64,
        /// The smallest rate above it whose training came to nothing with some seed, if one did.
        unstable: Option<f64>,
        /// With how many of how many seeds it did.
        #[serde(default)]
        lost: (usize, usize),
    },
    /// The best of random search and the best of TPE are not alike.
    SearchesDiffer {
        /// Trials: random, TPE.
        trials: (usize, usize),
        /// Test accuracy of the best of each.
        test_acc: (f64, f64),
    },
    /// They are.
    SearchesAgree {
        /// As above.
        trials: (usize, usize),
        /// As above.
        test_acc: (f64, f64),
    },
    /// First weights decide whether a network learns.
    InitMatters {
        /// Test accuracy of the best init.
        best: f64,
        /// Its name.
        name: String,
        /// Test accuracy from zeros.
        zeros: f64,
        /// Standard deviation over seeds of the accuracy behind one step, the largest of an init.
        one_step_deviation: f64,
    },
    /// They do not.
    InitMakesNoDifference {
        /// Distance of the best from the worst.
        gap: f64,
    },
    /// The best activation is the best beyond the seeds' noise.
    OrderIsReal {
        /// The best.
        best: String,
        /// The next.
        next: String,
        /// Distance of their mean accuracies.
        gap: f64,
        /// Its standard error.
        error: f64,
    },
    /// The order of the best two is within the noise.
    OrderIsNoise {
        /// The best.
        best: String,
        /// The next.
        next: String,
        /// As above.
        gap: f64,
        /// As above.
        error: f64,
    },
    /// At equal updates the large batch catches up: what it lacked was updates.
    UpdatesMatter {
        /// Test accuracy of the smallest batch at equal epochs.
        small: f64,
        /// Of the largest.
        large: f64,
        /// Of the largest at equal updates.
        large_at_equal_updates: f64,
        /// Curvature at equal loss.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sharpness: Option<Sharpness>,
    },
    /// It stays behind.
    BatchMatters {
        /// As above.
        small: f64,
        /// As above.
        large_at_equal_updates: f64,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sharpness: Option<Sharpness>,
    },
    /// A Hessian's cost is a power of the number of parameters.
    HessianIsPower {
        /// Exponent of the seconds of products with unit vectors.
        seconds: f64,
        /// Of their bytes.
        bytes: f64,
        /// Parameters whose dense matrix just fits memory.
        fits: u64,
    },
    /// It grows in another way.
    HessianIsNoPower {
        /// Exponent that was fitted all the same.
        bytes: f64,
    },
    /// The fastest split of a network over workers is faster than the whole on one thread, in every round.
    SplitIsFaster(SplitGain),
    /// In some rounds it is.
    SplitIsEven(SplitGain),
    /// In none it is.
    SplitIsSlower(SplitGain),
    /// Ours beside plain loops over the same products.
    ScratchIsSlower {
        /// A plain version's time over ours in f32, smallest and largest network.
        times: (f64, f64),
        /// The plain version in f64 over itself in f32, on the notebook's network.
        f64_over_f32: f64,
    },
    /// A plain version is as fast.
    ScratchIsAsFast {
        /// As above.
        times: (f64, f64),
    },
    /// What an odd size, row length or address costs at most.
    AlignmentCosts {
        /// Our smallest rate over the base's.
        ours: f64,
        /// Where.
        case: String,
        /// The `gemm` crate's smallest.
        peer: f64,
    },
    /// Nothing that the rounds could tell.
    AlignmentIsFree {
        /// Our smallest rate over the base's.
        ours: f64,
    },
    /// The bus's width is claimed.
    BusKnown {
        /// Bits.
        width_bits: u64,
        /// Measured, GB/s.
        gbps: f64,
    },
    /// It is not, and why; what it carries was measured.
    BusUnknown {
        /// Why.
        reason: String,
        /// Measured, GB/s.
        gbps: f64,
    },
}

/// What the fastest split gains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitGain {
    /// Which it is.
    pub name: String,
    /// The whole's time on one thread over its time, median of the rounds.
    pub gain: f64,
    /// The same in its worst and in its best round.
    pub range: (f64, f64),
    /// What the whole gains by all threads.
    pub threaded: f64,
    /// Threads that the machine runs at once.
    pub cores: usize,
}

/// What batches did to the curvature at one loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sharpness {
    /// Which end is flatter.
    pub flatter: Flatter,
    /// Top eigenvalue of the Hessian behind the smallest batch, geometric mean of the seeds.
    pub small: f64,
    /// Behind the largest.
    pub large: f64,
    /// Distance of the logarithms' means over its standard error.
    pub errors: f64,
}

/// Which batches get to a place where the objective is flatter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flatter {
    /// The smallest.
    Small,
    /// The largest.
    Large,
    /// The seeds differ as much.
    Noise,
}

/// A place where the notebook is wrong, with the figure that shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "erratum", rename_all = "snake_case")]
pub enum Erratum {
    /// "As beta goes to 0, swish goes to x": it goes to x / 2.
    SwishAtZero {
        /// The beta that stands for 0.
        beta: f64,
        /// Largest distance of swish from x / 2 on [-10, 10].
        from_half: f64,
        /// Largest distance from x.
        from_x: f64,
    },
    /// The gradient of a function of an n x m matrix is printed as an m x n one.
    GradientTransposed {
        /// Shape of the parameter.
        shape: (usize, usize),
        /// Shape of its gradient.
        gradient: (usize, usize),
        /// Largest difference of the gradient from central differences, entry by entry.
        error: f64,
        /// The same with the entries where the notebook prints them.
        error_as_printed: f64,
    },
    /// "The number of operations grows exponentially": the Hessian of n numbers has n^2 entries.
    HessianGrowth {
        /// Exponent of the Hessian's time in the number of parameters, fitted.
        exponent: f64,
    },
    /// Four hidden layers that never leave ln 10 are called overfitted.
    StallCalledOverfitting {
        /// Train loss after the last epoch.
        train_loss: f64,
        /// Test loss after it.
        test_loss: f64,
        /// Train loss of the same network with He's init.
        he_train_loss: f64,
    },
    /// The sum for training leaves out h + q of its own list.
    TrainingFootprint {
        /// Numbers by the formula.
        formula: u64,
        /// Numbers in the list that it adds up.
        listed: u64,
    },
    /// A version in f64 is timed against a framework in f32.
    ScratchInF64 {
        /// Time of the plain version in f64 over the same in f32.
        f64_over_f32: f64,
        /// The factor that the notebook saw between scratch and framework.
        notebook_factor: f64,
    },
}
