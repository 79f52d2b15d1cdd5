use tilelab_kernels::Activation;

use super::*;

fn checkpoint(step: u64, wide: bool) -> Checkpoint {
    let model = Model::new(&[3, 2, 2], Activation::Relu).unwrap();
    let layers = vec![
        (vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], vec![0.5, -0.5]),
        (vec![0.1f32.into(), -0.0, 7.0, 8.0], vec![0.0, 1e-30f32.into()]),
    ];
    let state = State {
        schema: SCHEMA,
        step,
        epochs_done: 0,
        rows_done: 4,
        loss_sum: 0.1 + 0.2,
        seconds: 1.0 / 3.0,
        seed: u64::MAX,
        first_loss: 2.3,
        epochs: vec![],
        best: None,
        settings: vec![("lr".into(), "0.1".into())],
        device: "cpu".into(),
        kernel: "k".into(),
        data: "d".into(),
        model_sha256: String::new(),
    };
    Checkpoint {
        model: SavedModel::new(&model, (layers, Vec::new()), wide, "Fashion-MNIST"),
        moments: vec![Moment {
            name: "mW1".into(),
            values: vec![0.25; 6],
        }],
        order: vec![2, 0, 1, 4, 3],
        state,
    }
}

#[test]
fn every_bit_comes_back() {
    for wide in [false, true] {
        let saved = checkpoint(7, wide);
        let (model, state) = saved.encode().unwrap();
        let mut read = Checkpoint::decode(&model, &state).unwrap();
        assert_eq!(read.state.model_sha256, sha256(&model));
        read.state.model_sha256.clear();
        assert_eq!(read, saved);
        assert!(read.model.layers[1].0[1].is_sign_negative(), "-0 stays -0");
    }
}

/// The header as the format's description has it: 8 bytes of length, JSON, data. Names, shapes and order are PyTorch's for
/// `nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))`.
#[test]
fn a_model_file_is_what_pytorch_calls_one() {
    let (model, _) = checkpoint(7, false).encode().unwrap();
    let length = u64::from_le_bytes(model[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&model[8..8 + length]).unwrap();
    let data = &model[8 + length..];
    let read = |name: &str| -> (Vec<u64>, Vec<f32>) {
        assert_eq!(header[name]["dtype"], "F32");
        let numbers = |value: &serde_json::Value| -> Vec<u64> {
            value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap()).collect()
        };
        let at = numbers(&header[name]["data_offsets"]);
        let bytes = &data[at[0] as usize..at[1] as usize];
        let values = bytes
            .chunks(4)
            .map(|x| f32::from_le_bytes(x.try_into().unwrap()))
            .collect();
        (numbers(&header[name]["shape"]), values)
    };
    assert_eq!(read("0.weight"), (vec![2, 3], vec![1.0, 3.0, 5.0, 2.0, 4.0, 6.0]));
    assert_eq!(read("0.bias"), (vec![2], vec![0.5, -0.5]));
    assert_eq!(read("2.weight"), (vec![2, 2], vec![0.1, 7.0, -0.0, 8.0]));
    assert_eq!(read("2.bias"), (vec![2], vec![0.0, 1e-30]));
    assert_eq!(header.as_object().unwrap().len(), 5, "four tensors and the metadata");
}

/// PyTorch's names, shapes and types for `nn.Sequential(Linear(3, 2), BatchNorm1d(2), PReLU(), Dropout(), Linear(2, 2))`; and back.
#[test]
fn norms_and_learned_activations_have_pytorchs_places() {
    let model = Model::new(&[3, 2, 2], Activation::PRelu { alpha: 0.25 })
        .unwrap()
        .with_batch_norm(true)
        .with_dropout(0.5);
    let layers = checkpoint(7, false).model.layers;
    let extras = vec![
        vec![1.5, 2.5],
        vec![0.5, -1.0],
        vec![3.0, 4.0],
        vec![5.0, 6.0],
        vec![7.0],
        vec![0.125],
    ];
    let saved = SavedModel::new(&model, (layers, extras), false, "");
    let bytes = saved.encode().unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut listed: Vec<String> = file
        .iter()
        .map(|(name, view)| format!("{name} {:?} {:?}", view.dtype(), view.shape()))
        .collect();
    listed.sort();
    let expected = [
        "0.bias F32 [2]",
        "0.weight F32 [2, 3]",
        "1.bias F32 [2]",
        "1.num_batches_tracked I64 []",
        "1.running_mean F32 [2]",
        "1.running_var F32 [2]",
        "1.weight F32 [2]",
        "2.weight F32 [1]",
        "4.bias F32 [2]",
        "4.weight F32 [2, 2]",
    ];
    assert_eq!(listed, expected);
    let read = SavedModel::decode(&bytes, None).unwrap();
    assert_eq!((&read.layers, &read.extras), (&saved.layers, &saved.extras));
    assert!(read.model().batch_norm() && read.model().learns());
}

/// Cut anywhere, or with any byte changed in the state's header or the model, it is refused and never misread.
#[test]
fn a_damaged_file_is_refused() {
    let (model, state) = checkpoint(7, false).encode().unwrap();
    for cut in 0..model.len() {
        assert_eq!(Checkpoint::decode(&model[..cut], &state).unwrap_err().0, MODEL_FILE);
    }
    for cut in 0..state.len() {
        assert_eq!(Checkpoint::decode(&model, &state[..cut]).unwrap_err().0, STATE_FILE);
    }
    for at in 0..model.len() {
        let mut changed = model.clone();
        changed[at] ^= 1;
        assert_eq!(
            Checkpoint::decode(&changed, &state).unwrap_err().0,
            MODEL_FILE,
            "byte {at}"
        );
    }
    assert_eq!(Checkpoint::decode(&model, &model).unwrap_err().1, NOT_OURS);
}

fn saving(folder: &std::path::Path, resume: bool) -> Saving {
    Saving {
        folder: folder.to_owned(),
        every: None,
        keep_last: 2,
        resume,
    }
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_last_ones_and_the_best_stay() {
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::open(&saving(home.path(), false)).unwrap();
    assert!(folder.last().unwrap().is_none());
    for step in [10, 20, 30, 40] {
        let mut checkpoint = checkpoint(step, false);
        checkpoint.state.best = (step >= 20).then_some(Best {
            step: 20,
            epoch: 1,
            loss: 0.5,
        });
        folder.save(&checkpoint).unwrap();
    }
    assert_eq!(
        names(home.path()),
        ["best", "lock", "step-00000020", "step-00000030", "step-00000040"]
    );
    assert_eq!(folder.last().unwrap().unwrap().0.state.step, 40);
    let (_, best) = SavedModel::load(home.path(), None).unwrap();
    assert_eq!(best, home.path().join("step-00000020").join(MODEL_FILE));
    assert!(matches!(
        Folder::open(&saving(home.path(), true)),
        Err(CheckpointError::Locked(_))
    ));
    drop(folder);
    assert!(matches!(
        Folder::open(&saving(home.path(), false)),
        Err(CheckpointError::Occupied(_))
    ));
}

/// Whatever a process leaves that ended between two of its renames, the next one finds a whole checkpoint.
#[test]
fn leftovers_are_cleared_and_nothing_is_lost() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let folder = Folder::open(&saving(home.path(), false)).unwrap();
    folder.save(&checkpoint(10, false)).unwrap();
    folder.save(&checkpoint(20, false)).unwrap();
    drop(folder);
    // Killed while it wrote 30, while it put another 20 in the place of 20, and while it removed one.
    std::fs::create_dir(at(".step-00000030")).unwrap();
    std::fs::write(at(".step-00000030").join(MODEL_FILE), b"half").unwrap();
    std::fs::rename(at("step-00000020"), at(".replaced-step-00000020")).unwrap();
    std::fs::create_dir(at(".removed")).unwrap();
    std::fs::write(at(".keep-me"), b"not ours").unwrap();
    let folder = Folder::open(&saving(home.path(), true)).unwrap();
    assert_eq!(folder.last().unwrap().unwrap().0.state.step, 20);
    assert_eq!(
        names(home.path()),
        [".keep-me", "lock", "step-00000010", "step-00000020"]
    );
    // Saved again under the same number, it takes the old one's place.
    let mut again = checkpoint(20, false);
    again.state.rows_done = 5;
    folder.save(&again).unwrap();
    assert_eq!(folder.last().unwrap().unwrap().0.state.rows_done, 5);
    assert_eq!(
        names(home.path()),
        [".keep-me", "lock", "step-00000010", "step-00000020"]
    );
}
