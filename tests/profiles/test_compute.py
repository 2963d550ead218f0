"""What a device and a GPU say about the time of each unit of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from splitenv.profiles import catalogue, diffusion, regnet
from splitenv.profiles.compute import DeviceProfile, GpuEntry, GpuProfile
from splitenv.profiles.figures import ProfileError, describe_validation
from splitenv.profiles.models import Wire

SD = "stable-diffusion-2.1-base"

PUBLISHED_GMACS = {
    "regnet-x-3.2gf": 3.2,
    "regnet-x-4gf": 4.0,
    "regnet-x-32gf": 31.7,
    "regnet-y-400mf": 0.4,
    "regnet-y-800mf": 0.8,
    "regnet-y-1.6gf": 1.6,
    "regnet-y-3.2gf": 3.2,
    "regnet-y-8gf": 8.5,
    "regnet-y-16gf": 15.9,
    "regnet-y-32gf": 32.3,
    "regnet-y-128gf": 127.5,
}


def derived_by_catalogue(entries: dict[str, Any]) -> GpuProfile:
    overhead = {"value": 0, "unit": "ms", "kind": "assumed", "rule": "none"}
    gpu = GpuProfile.model_validate(
        {
            "name": "mine",
            "title": "mine",
            "memory_gb": overhead | {"value": 40, "unit": "GB"},
            "price": overhead | {"value": 1, "unit": "USD/hour"},
            "launch_overhead": overhead,
            "models": entries,
        }
    )
    return gpu.using(catalogue._Catalogue())


def curve(batch: list[int], time: list[float]) -> dict[str, Any]:
    return {"batch": batch, "time": time, "kind": "measured", "source": "somewhere"}


def fault(entry: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        GpuEntry.model_validate(entry)
    return describe_validation("mine.yaml", caught.value)


# Models


@pytest.mark.parametrize("name", PUBLISHED_GMACS)
def test_a_regnet_file_holds_what_its_definition_gives(name: str) -> None:
    units = regnet.chain_units(regnet.DEFINITIONS[name])
    profile = catalogue.load_model(name)
    assert [(u.kind, u.macs, u.elements) for u in profile.units] == [
        (u.kind, u.macs, u.elements) for u in units
    ]
    assert sum(u.macs for u in units) / 1e9 == pytest.approx(PUBLISHED_GMACS[name], abs=0.05)


def test_a_regnet_has_one_unit_per_residual_block() -> None:
    kinds = catalogue.load_model("regnet-x-3.2gf").chain().kinds
    assert kinds == ("stem", *["block"] * 25, "head")


def test_the_first_units_of_regnet_x_3_2gf_are_as_counted_by_hand() -> None:
    stem, block, second, *_ = regnet.chain_units(regnet.DEFINITIONS["regnet-x-3.2gf"])
    assert (stem.macs, stem.elements) == (3 * 32 * 9 * 112**2, 32 * 112**2)
    assert (block.macs, block.elements) == (207_126_528, 96 * 56**2)
    assert second.macs == 187_858_944


def test_squeeze_excitation_is_counted_in_the_y_family() -> None:
    units = regnet.chain_units(regnet.DEFINITIONS["regnet-y-400mf"])
    assert [u.macs for u in units[:3]] == [10_838_016, 42_148_608, 33_921_472]
    assert sum(u.macs for u in units) == 401_842_848


@pytest.mark.parametrize(
    ("name", "millions"),
    [("stable-diffusion-1.5", 859.5), (SD, 865.9), ("sdxl-1.0", 2567.5)],
)
def test_the_unet_counted_has_the_published_number_of_parameters(
    name: str, millions: float
) -> None:
    weights = diffusion.unet(diffusion.CONFIGS[name]).weights
    assert weights / 1e6 == pytest.approx(millions, rel=1e-3)


@pytest.mark.parametrize("name", diffusion.CONFIGS)
def test_a_diffusion_file_holds_what_its_configuration_gives(name: str) -> None:
    config = diffusion.CONFIGS[name]
    macs = {unit.kind: unit.macs for unit in catalogue.load_model(name).units}
    assert macs == {
        "encode": 2 * diffusion.text_encoder(config).macs,
        "denoise": 2 * diffusion.unet(config).macs,
        "decode": diffusion.vae_decoder(config).macs,
    }


@pytest.mark.parametrize("steps", [25, 50])
def test_stable_diffusion_is_encode_steps_and_decode(steps: int) -> None:
    chain = catalogue.load_model(SD).chain(steps)
    assert chain.kinds == ("encode", *["denoise"] * steps, "decode")
    assert chain.also.tolist() == [True] + [False] * (steps + 1)


@pytest.mark.parametrize(("wire", "latent"), [("fp32", 65536), ("fp16", 32768), ("int8", 16384)])
def test_only_the_latent_crosses_inside_stable_diffusion(wire: Wire, latent: int) -> None:
    sizes = catalogue.load_model(SD).chain(25).boundary_bytes(wire)
    assert sizes[0] == 308
    assert set(sizes[1:-1]) == {latent}
    assert sizes[-1] == 0.25 * 512 * 512


def test_steps_must_be_ones_that_the_model_allows() -> None:
    with pytest.raises(ProfileError, match=r"steps must be one of 25, 50, got 30$"):
        catalogue.load_model(SD).chain(30)
    with pytest.raises(ProfileError, match=r"regnet-x-4gf has no steps, got steps=25$"):
        catalogue.load_model("regnet-x-4gf").chain(25)
    with pytest.raises(ProfileError, match=r"steps must be one of 25, 50, got None$"):
        catalogue.load_model(SD).chain()


# Devices


def test_a_guided_step_on_the_s24_is_two_published_unet_calls() -> None:
    chain = catalogue.load_model("stable-diffusion-1.5").chain(25)
    times = catalogue.load_device("galaxy-s24").unit_times(chain)
    assert times is not None
    assert times[1] == pytest.approx(2 * 81.089e-3)
    assert times[-1] == pytest.approx(201.07e-3)


def test_twenty_steps_on_an_iphone_take_what_apple_published_end_to_end() -> None:
    times = catalogue.load_device("iphone-14-pro-max").unit_times(
        catalogue.load_model(SD).chain(25)
    )
    assert times is not None
    assert times.sum() - 5 * times[1] == pytest.approx(7.9, abs=1e-3)


@pytest.mark.parametrize(
    ("device", "model", "seconds"),
    [
        ("galaxy-s24", "regnet-x-3.2gf", 0.646e-3),
        ("snapdragon-7-gen-4-cpu", "regnet-x-3.2gf", 13.717e-3),
        ("laptop-i7-12700h-cpu", "regnet-x-32gf", 1 / 5.0),
    ],
)
def test_the_units_of_a_whole_time_sum_to_it(device: str, model: str, seconds: float) -> None:
    times = catalogue.load_device(device).unit_times(catalogue.load_model(model).chain())
    assert times is not None
    assert times.sum() == pytest.approx(seconds)


def test_a_derived_regnet_takes_the_measured_one_scaled_by_macs() -> None:
    device = catalogue.load_device("galaxy-s24")
    known, other = (catalogue.load_model(f"regnet-x-{size}").chain() for size in ("3.2gf", "32gf"))
    times = device.unit_times(other)
    assert times is not None
    assert times == pytest.approx(other.macs * 0.646e-3 / known.macs.sum())


def test_a_device_without_an_entry_cannot_run_the_model() -> None:
    chain = catalogue.load_model("regnet-x-4gf").chain()
    assert catalogue.load_device("iphone-13").unit_times(chain) is None


def test_a_derived_entry_needs_the_library() -> None:
    loaded = catalogue.load_device("galaxy-s24")
    alone = DeviceProfile.model_validate(loaded.model_dump())
    with pytest.raises(ProfileError, match="load it from the catalogue"):
        alone.unit_times(catalogue.load_model("regnet-x-4gf").chain())


# GPUs


def test_the_aitemplate_step_is_the_difference_of_two_runs() -> None:
    chain = catalogue.load_model(SD).chain(50)
    found = catalogue.load_gpu("a100-aitemplate").unit_times(chain)
    assert found is not None
    batch, times = found
    assert batch.tolist() == [1, 3, 8, 16]
    assert times[1, 0] == pytest.approx((1282.98e-3 - 695e-3) / 25)
    assert times.sum(axis=0) == pytest.approx([1.28298, 3.12188, 7.49281, 14.93195])


def test_the_a100_at_25_steps_takes_what_was_published_for_the_batch() -> None:
    found = catalogue.load_gpu("a100").unit_times(
        catalogue.load_model("stable-diffusion-1.5").chain(25)
    )
    assert found is not None
    batch, times = found
    assert batch[-1] == 64
    assert times.sum(axis=0)[[0, -1]] == pytest.approx([0.921006, 25.000648])


def test_a_step_on_the_t4_is_the_published_rate() -> None:
    found = catalogue.load_gpu("t4").unit_times(
        catalogue.load_model("stable-diffusion-1.5").chain(50)
    )
    assert found is not None
    assert found[1][1] == pytest.approx([1 / 6.9, 1 / 1.79, 2.34], abs=1e-6)


def test_a_curve_of_another_gpu_is_scaled_by_its_factor() -> None:
    chain = catalogue.load_model("regnet-x-32gf").chain()
    here, there = (catalogue.load_gpu(gpu).unit_times(chain) for gpu in ("t4", "v100"))
    assert here is not None
    assert there is not None
    assert here[1] == pytest.approx(there[1] * 16.89089 / 11.45, rel=1e-5)


@pytest.mark.parametrize("gpu", catalogue.names("gpus"))
def test_a_larger_batch_never_takes_less_time_on_any_shipped_gpu(gpu: str) -> None:
    profile = catalogue.load_gpu(gpu)
    for model in profile.models:
        steps = max(catalogue.load_model(model).steps, default=None)
        found = profile.unit_times(catalogue.load_model(model).chain(steps))
        assert found is not None
        assert (np.diff(found[1].sum(axis=0)) >= 0).all()
        assert (found[1] > 0).all()


@given(st.lists(st.floats(1e-3, 10), min_size=1, max_size=8))
def test_units_of_a_whole_curve_sum_to_it_at_every_batch(increments: list[float]) -> None:
    batch = list(range(1, len(increments) + 1))
    total = np.cumsum(increments)
    entry = {"whole": [{"steps": 25, "curve": curve(batch, total.tolist())}]}
    found = derived_by_catalogue({SD: entry}).unit_times(catalogue.load_model(SD).chain(25))
    assert found is not None
    assert found[1].sum(axis=0) == pytest.approx(total)


@given(step=st.floats(1e-3, 1), fixed=st.floats(0.01, 5))
def test_two_step_counts_give_back_step_and_fixed_part(step: float, fixed: float) -> None:
    runs = [{"steps": n, "curve": curve([1], [fixed + n * step])} for n in (20, 60)]
    chain = catalogue.load_model(SD).chain(25)
    found = derived_by_catalogue({SD: {"whole": runs}}).unit_times(chain)
    assert found is not None
    assert found[1][chain.repeated, 0] == pytest.approx(step)
    assert found[1][~chain.repeated, 0].sum() == pytest.approx(fixed, abs=1e-9)


def test_two_runs_that_contradict_each_other_are_refused() -> None:
    runs = [{"steps": n, "curve": curve([1], [t])} for n, t in ((25, 1.0), (50, 5.0))]
    gpu = derived_by_catalogue({SD: {"whole": runs}})
    with pytest.raises(ProfileError, match=f"^gpu mine: models.{SD}: .* no positive step"):
        gpu.unit_times(catalogue.load_model(SD).chain(50))


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (
            {"whole": [{"curve": curve([1, 4, 2], [1, 2, 3])}]},
            "whole.0.curve: batch sizes must increase strictly, got [1, 4, 2]",
        ),
        (
            {"whole": [{"curve": curve([2, 4], [1, 2])}]},
            "whole.0.curve: batch sizes must start at 1",
        ),
        (
            {"step": curve([1], [-0.5])},
            "step: times must be positive, got [-0.5]",
        ),
        (
            {"step": curve([1, 2], [2, 1])},
            "a batch must not take less time than a smaller one, got 1.0 s after 2.0 at batch 2",
        ),
        (
            {},
            "give exactly one of whole, step, like; got none",
        ),
        (
            {"like": "sdxl-1.0", "step": curve([1], [1])},
            "give exactly one of whole, step, like; got step and like",
        ),
    ],
)
def test_a_malformed_gpu_entry_is_one_sentence(entry: dict[str, Any], sentence: str) -> None:
    assert fault(entry).endswith(sentence)
    assert "\n" not in fault(entry)
