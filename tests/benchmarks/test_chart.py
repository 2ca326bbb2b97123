"""The chart: every bar, ratio and name where it belongs, all of it legible, and no backend touched."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from benchmarks import chart

TITLES = {"ours": "tinygrad_mlp", "numpy": "NumPy by hand", "torch": "PyTorch default", "torch-best": "PyTorch best"}
NETS = {
    "W1": "784-50-50-10 tanh, batch 64, SGD momentum 0.9, L2",
    "W2": "784-128-64-10 ReLU, batch 64, Adam",
    "W3": "784-512-128-64-10 ReLU, batch 64, Adam",
    "W4": "784-128-10 ReLU, batch 512, SGD",
    "W7": "784-100-10 sigmoid, batch 64, SGD momentum 0.9, L2",
    "W5": "conv32-conv32-128-64-10 ReLU, batch 64, Adam",
    "W6": "conv32-BN-pool-conv64-BN-pool-128-10 ReLU, batch 128, Adam",
    "W8": "conv32-BN-pool-residual32-residual64-10, batch 128, SGD momentum 0.9, L2",
}


def _row(title: str, **runs: list[float]) -> dict[str, Any]:
    """`ours_2=[…]`: seconds of the rounds on two threads."""
    seconds = {name.replace("_", "@").replace("best", "torch-best"): values for name, values in runs.items()}
    microseconds: dict[str, dict[str, float]] = {name: {} for name in TITLES}
    for name, values in seconds.items():
        contender, threads = name.split("@")
        microseconds[contender][threads] = 1e6 * sorted(values)[len(values) // 2]
    rounds = {"order": [[]] * 3, "seconds": seconds}
    return {"title": title, "titles": TITLES, "microseconds": microseconds, "rounds": rounds}


def _results() -> dict[str, Any]:
    def row(title: str) -> dict[str, Any]:
        return _row(
            title,
            ours_1=[90e-6, 90e-6, 90e-6],
            ours_2=[95e-6, 100e-6, 110e-6],
            numpy_1=[300e-6, 310e-6, 320e-6],
            numpy_2=[240e-6, 250e-6, 260e-6],
            torch_1=[900e-6, 900e-6, 900e-6],
            torch_2=[1150e-6, 1234e-6, 1300e-6],
        )

    return {
        "machine": {"cpu": "Some(R) Vendor(R) Platinum 8370C CPU @ 2.80GHz"},
        "settings": {"threads": [1, 2]},
        "training_steps": {
            "data": {"name": "synthetic-fashion"},
            "rows": {name: row(net) for name, net in NETS.items()},
        },
    }


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def _bars(figure: Figure, panel: int) -> list[Rectangle]:
    return [patch for patch in figure.axes[panel].patches if isinstance(patch, Rectangle)]


def test_bars_and_ratios() -> None:
    figure = chart.draw(_results())
    assert len(figure.axes) == 8
    # Ours on two threads; the peers on the number that is fastest for them.
    assert [bar.get_width() for bar in _bars(figure, 0)] == pytest.approx([100, 250, 900])
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert [label for label in labels if "×" in label or "µs" in label] == ["100 µs", "2.5×", "9.0×"]
    assert "not measured" in labels  # PyTorch best


def test_ours_and_the_fastest_peer_stand_out() -> None:
    colors = [to_hex(bar.get_facecolor()) for bar in _bars(chart.draw(_results()), 0)]
    assert len(set(colors)) == 3
    results = _results()
    for row in results["training_steps"]["rows"].values():
        row["rounds"]["seconds"]["torch@1"], row["microseconds"]["torch"]["1"] = [1e-4] * 3, 100.0
    ours, numpy, torch = (to_hex(bar.get_facecolor()) for bar in _bars(chart.draw(results), 0))
    assert [ours, torch, numpy] == colors  # now PyTorch is the fastest


def test_variants_of_ours_look_like_no_peer() -> None:
    results = _results()
    for row in results["training_steps"]["rows"].values():
        row["titles"] = {"ours": "tinygrad_mlp", "ours-eager": "tinygrad_mlp, eager", **TITLES}
        row["rounds"]["seconds"]["ours-eager@2"] = [1.5e-4] * 3
        row["microseconds"]["ours-eager"] = {"2": 150.0}
    figure = chart.draw(results)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    places = {round(bar.get_y() + bar.get_height() / 2): to_hex(bar.get_facecolor()) for bar in _bars(figure, 0)}
    color = {names[place]: shade for place, shade in places.items()}
    assert len(set(color.values())) == 4
    assert "pale: tinygrad_mlp used in other ways" in "\n".join(_texts(figure))


@pytest.mark.parametrize(("times", "ends"), [(1, [95, 110]), (2, [96.25, 107.5])])
def test_whiskers_are_quartiles_or_of_few_rounds_lowest_to_highest(times: int, ends: list[float]) -> None:
    results = _results()
    for row in results["training_steps"]["rows"].values():
        row["rounds"]["order"] *= times
        row["rounds"]["seconds"] = {name: sorted(each * times) for name, each in row["rounds"]["seconds"].items()}
    figure = chart.draw(results)
    first = next(each for each in figure.axes[0].containers if isinstance(each, ErrorbarContainer))
    (segment,) = first.lines[2][0].get_segments()
    assert [x for x, _ in segment] == pytest.approx(ends)
    words = "lowest to highest" if times == 1 else "quartiles"
    assert f"median of {3 * times} interleaved rounds; whiskers: {words}" in "\n".join(_texts(figure))


def test_panels_go_by_name_and_long_steps_are_in_milliseconds() -> None:
    results = _results()
    results["training_steps"]["rows"]["W5"]["rounds"]["seconds"]["ours@2"] = [25_276e-6] * 3
    figure = chart.draw(results)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["W1", "W2", "W3", "W4", "W5 (ms)", "W6", "W7", "W8"]
    assert "25.3 ms" in [text.get_text() for text in figure.axes[4].texts]
    FigureCanvasAgg(figure).draw()
    assert [label.get_text() for label in figure.axes[4].get_xticklabels()][:3] == ["0", "20", "40"]


def test_machine_threads_and_data_are_named() -> None:
    text = "\n".join(_texts(chart.draw(_results())))
    for part in (
        "Some(R) Vendor(R) Platinum 8370C CPU @ 2.80GHz",
        "2 threads",
        "synthetic-fashion",
        "tinygrad_mlp",
        "PyTorch best",
        *NETS,
    ):
        assert part in text
    results = _results()
    results["settings"]["threads"] = [1]
    for row in results["training_steps"]["rows"].values():
        row["microseconds"] = {
            name: {n: t for n, t in times.items() if n == "1"} for name, times in row["microseconds"].items()
        }
    text = "\n".join(_texts(chart.draw(results)))
    assert "1 thread" in text
    assert "threads" not in text


def _many(count: int) -> dict[str, Any]:
    """Results with `count` nets."""
    results = _results()
    rows = results["training_steps"]["rows"]
    results["training_steps"]["rows"] = {name: copy.deepcopy(rows[name]) for name in list(NETS)[:count]}
    return results


@pytest.mark.parametrize("ours", [100e-6, 12345e-6])
@pytest.mark.parametrize("panels", [1, 2, 5, 7, 8])
def test_all_text_is_inside_and_apart(panels: int, ours: float) -> None:
    results = _many(panels)
    for row in results["training_steps"]["rows"].values():
        row["rounds"]["seconds"]["ours@2"] = [ours] * 3
    figure = chart.draw(results)
    assert figure.get_figwidth() * 100 == 1000
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = [*figure.texts]
    for axes in figure.axes:
        numbers = [label for label in axes.get_xticklabels() if label.get_position()[0] <= axes.get_xlim()[1]]
        titles = [child for child in axes.get_children() if isinstance(child, Text)]
        texts += [*titles, *numbers, *axes.get_yticklabels()] if axes.axison else []
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text()]
    assert len(boxes) > 10 * panels
    for text, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text
    for place, (text, box) in enumerate(boxes):
        for other_text, other in boxes[place + 1 :]:
            overlap = box.x0 < other.x1 and other.x0 < box.x1 and box.y0 < other.y1 and other.y0 < box.y1
            assert not overlap, (text, other_text)


def test_nothing_measured_draws_all_the_same() -> None:
    results = _results()
    results["training_steps"]["rows"] = {"W1": {**_row("a net, by no one"), "rounds": None}}
    assert "not measured" in _texts(chart.draw(results))


def test_drawing_selects_no_backend() -> None:
    code = (
        "import json, sys; from benchmarks import chart; chart.draw(json.loads(sys.argv[1]));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code, json.dumps(_results())], cwd=root, check=True)


def test_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "results.json"
    results.write_text(json.dumps(_results()), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["chart", str(results)])
    chart.main()
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
