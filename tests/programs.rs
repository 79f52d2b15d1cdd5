//! What programs and batches refuse when they are built, so that running them cannot fail.
#![allow(clippy::unwrap_used)] // A test may panic.

use tilelab::device::{Batch, Device, DeviceError, Set};
use tilelab::mlp::{Model, Optimizer};
use tilelab::program::lower::Lowering;
use tilelab::program::{
    Buffer, BufferId, Element, Epilogue, Lifetime, Op, Operand, Parts, Product, Program, ProgramError, Role, Scalar,
    Shape,
};
use tilelab_kernels::{Activation, Threads};

const A: BufferId = BufferId(0); // batch x 3
const B: BufferId = BufferId(1); // 3 x 4
const C: BufferId = BufferId(2); // batch x 4
const V: BufferId = BufferId(3); // 1 x 4
const N: BufferId = BufferId(4); // metric

fn buffer(name: &str, shape: Shape, element: Element, role: Role, lifetime: Lifetime) -> Buffer {
    Buffer {
        name: name.into(),
        shape,
        element,
        role,
        lifetime,
    }
}

fn parts(operations: Vec<Op>) -> Parts {
    let (float, kept) = (Element::F32, Lifetime::Kept);
    let buffers = vec![
        buffer("a", Shape::batch(3), float, Role::Input, kept),
        buffer("b", Shape::fixed(3, 4), float, Role::Parameter, kept),
        buffer("c", Shape::batch(4), float, Role::Activation, Lifetime::Run),
        buffer("v", Shape::fixed(1, 4), float, Role::Parameter, kept),
        buffer("n", Shape::fixed(1, 1), Element::F64, Role::Metric, kept),
    ];
    Parts {
        name: "tried".into(),
        float,
        rows: 8,
        buffers,
        operations,
    }
}

fn product(a: Operand, b: Operand, c: BufferId) -> Op {
    Op::Product(Product {
        alpha: Scalar::ONE,
        a,
        b,
        beta: Scalar::ZERO,
        c,
        epilogue: Epilogue::default(),
    })
}

fn refused(operations: Vec<Op>) -> ProgramError {
    Program::new(parts(operations)).unwrap_err()
}

#[test]
fn shapes_are_checked() {
    let (plain, transposed) = (Operand::plain, Operand::transposed);
    assert!(Program::new(parts(vec![product(plain(A), plain(B), C)])).is_ok());
    let activation = Activation::Relu;
    for (op, buffer) in [
        (product(plain(A), transposed(B), C), "b"),      // 3 against 4
        (product(plain(A), plain(A), C), "a"),           // 3 against a batch
        (product(transposed(A), transposed(A), B), "a"), // a batch of columns
        (product(plain(B), transposed(B), C), "c"),      // 3 x 3
        (Op::AddBias { bias: B, x: C }, "b"),
        (
            Op::Activate {
                activation,
                x: A,
                out: C,
            },
            "c",
        ),
        (
            Op::ActivateBackward {
                activation,
                saved: A,
                gradient: C,
                out: A,
            },
            "c",
        ),
        (
            Op::ColumnSum {
                x: A,
                accumulate: Scalar::ZERO,
                sums: V,
            },
            "v",
        ),
        (
            Op::Sgd {
                decay: Scalar::ONE,
                lr: Scalar::ONE,
                gradient: V,
                weights: B,
            },
            "v",
        ),
        (Op::AddSum { x: A, metric: N }, "a"),
        (Op::AddSum { x: A, metric: V }, "a"),
        (Op::LoadLabels { out: C }, "c"),
        (
            Op::LoadRows {
                byte_scale: 1.0,
                out: V,
            },
            "v",
        ),
        (
            Op::CrossEntropy {
                logits: A,
                labels: C,
                losses: A,
            },
            "c",
        ),
    ] {
        match refused(vec![op.clone()]) {
            ProgramError::Shape {
                buffer: named,
                operation,
                ..
            } => {
                assert_eq!((named.as_str(), operation), (buffer, format!("{} (0)", op.name())));
            }
            other => panic!("{op:?}: {other}"),
        }
    }
    let line = refused(vec![Op::AddBias { bias: B, x: C }]).to_string();
    assert_eq!(line, "tried: add bias (0): `b` is 3 x 4 f32, it must be 1 x 4 f32");
}

#[test]
fn order_names_and_sizes_are_checked() {
    let unwritten = refused(vec![Op::AddBias { bias: V, x: C }]);
    assert!(matches!(unwritten, ProgramError::Unwritten { .. }), "{unwritten}");
    let activation = Activation::Relu;
    let alias = refused(vec![Op::Activate {
        activation,
        x: A,
        out: A,
    }]);
    assert!(matches!(alias, ProgramError::Alias { .. }), "{alias}");
    let with = |change: &dyn Fn(&mut Parts)| {
        let mut parts = parts(vec![]);
        change(&mut parts);
        Program::new(parts).unwrap_err()
    };
    let name = with(&|parts| parts.buffers[1].name = "a".into());
    assert!(matches!(name, ProgramError::Name { .. }), "{name}");
    for shape in [
        Shape::fixed(0, 4),
        Shape::fixed(4, 0),
        Shape::fixed(usize::MAX, 2),
        Shape::fixed(1 << 40, 1 << 30),
    ] {
        let size = with(&|parts| parts.buffers[1].shape = shape);
        assert!(matches!(size, ProgramError::Size { .. }), "{size}");
    }
    let float = with(&|parts| parts.float = Element::U8);
    assert!(matches!(float, ProgramError::Float { .. }), "{float}");
}

#[test]
fn a_batch_is_checked_when_built() {
    let model = Model::new(&[3, 4, 2], Activation::Relu).unwrap();
    let lowering = Lowering {
        model: &model,
        float: Element::F32,
        rows: 4,
        byte_scale: 1.0,
    };
    let program = lowering.step(Optimizer::Sgd).unwrap();
    assert_eq!((program.rows(), program.columns(), program.classes()), (4, 3, 2));
    let bytes = [0u8; 18];
    let sets = [
        Set::new(&bytes, &[0, 1, 0, 1, 1, 0], 3).unwrap(),
        Set::new(&bytes, &[0, 1, 2], 6).unwrap(),
    ];
    let three = [Set::new(&bytes[..9], &[0, 1, 2], 3).unwrap()];
    let of_set = |sets, set, rows: &'static [u32]| Batch::of_set(&program, sets, set, rows).unwrap_err();
    assert!(Batch::of_set(&program, &sets, 0, &[5, 5, 0, 1]).is_ok());
    assert!(matches!(of_set(&sets, 0, &[]), DeviceError::Rows { got: 0, .. }));
    assert!(matches!(
        of_set(&sets, 0, &[0; 5]),
        DeviceError::Rows { got: 5, limit: 4, .. }
    ));
    assert!(matches!(
        of_set(&sets, 0, &[0, 6]),
        DeviceError::Row { row: 6, rows: 6 }
    ));
    assert!(matches!(
        of_set(&sets, 1, &[0]),
        DeviceError::Columns {
            got: 6,
            expected: 3,
            ..
        }
    ));
    assert!(matches!(of_set(&sets, 2, &[0]), DeviceError::Row { .. }));
    assert!(matches!(
        of_set(&three, 0, &[0]),
        DeviceError::Label { label: 2, last: 1, .. }
    ));
    let of_slices = |values, labels| Batch::of_slices(&program, values, labels).unwrap_err();
    assert!(Batch::of_slices(&program, &[0.0; 6], &[0, 1]).is_ok());
    assert!(matches!(of_slices(&[0.0; 7], &[0, 1]), DeviceError::Set { .. }));
    assert!(matches!(
        of_slices(&[0.0; 8], &[0, 1]),
        DeviceError::Columns { got: 4, .. }
    ));
    assert!(matches!(
        of_slices(&[0.0; 6], &[0, 2]),
        DeviceError::Label { label: 2, .. }
    ));
    assert!(matches!(of_slices(&[], &[]), DeviceError::Set { .. }));
    assert!(matches!(Set::new(&bytes, &[0; 5], 3), Err(DeviceError::Set { .. })));
}

#[test]
fn a_session_shares_what_fits() {
    let lowering = |model, rows, float| Lowering {
        model,
        float,
        rows,
        byte_scale: 1.0,
    };
    let (model, wider) = (
        Model::new(&[3, 4, 2], Activation::Relu).unwrap(),
        Model::new(&[3, 5, 2], Activation::Relu).unwrap(),
    );
    let step = lowering(&model, 4, Element::F32).step(Optimizer::Sgd).unwrap();
    for device in [Device::Cpu, Device::Baseline, Device::Reference] {
        let mut session = device.open(std::slice::from_ref(&step), &[], Threads::one()).unwrap();
        session.write("W1", &[0.5; 12]).unwrap();
        // More rows: what is there stays.
        session
            .add(&lowering(&model, 64, Element::F32).evaluate().unwrap())
            .unwrap();
        assert_eq!(session.read("W1").unwrap(), [0.5; 12]);
        let conflict = session
            .add(&lowering(&wider, 4, Element::F32).evaluate().unwrap())
            .unwrap_err();
        assert!(matches!(conflict, DeviceError::Conflict { .. }), "{conflict}");
        let float = session
            .add(&lowering(&model, 4, Element::F64).evaluate().unwrap())
            .unwrap_err();
        assert!(matches!(float, DeviceError::Float { .. }), "{float}");
        assert!(matches!(session.read("W3"), Err(DeviceError::Buffer(_))));
        assert!(matches!(session.write("y", &[0.0]), Err(DeviceError::Buffer(_))));
        assert!(matches!(
            session.write("W1", &[0.0; 11]),
            Err(DeviceError::Length { .. })
        ));
    }
}

#[test]
fn more_than_the_memory_is_refused_before_it_is_taken() {
    let model = Model::new(&[784, 1 << 40, 10], Activation::Relu).unwrap();
    let step = Lowering {
        model: &model,
        float: Element::F32,
        rows: 1,
        byte_scale: 1.0,
    }
    .step(Optimizer::Sgd)
    .unwrap();
    for device in [Device::Cpu, Device::Baseline, Device::Reference] {
        let Err(error) = device.open(std::slice::from_ref(&step), &[], Threads::one()) else {
            panic!("{device}")
        };
        assert!(matches!(error, DeviceError::Memory { .. }), "{error}");
    }
}

#[test]
fn names_of_devices() {
    for name in ["cpu", "baseline", "reference", "cuda:1"] {
        assert_eq!(name.parse::<Device>().unwrap().to_string(), name);
    }
    for name in ["", "gpu", "cuda", "cuda:", "cuda:x", "CPU"] {
        assert!(name.parse::<Device>().is_err(), "{name}");
    }
    let Err(error) = Device::Cuda(99).open(&[], &[], Threads::one()) else {
        panic!("no machine has a hundred cards")
    };
    let error = error.to_string();
    assert!(
        error.starts_with("cuda:99: ") && error.ends_with("; --device cpu works without one"),
        "{error}"
    );
}
