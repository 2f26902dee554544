"""What the server answers, and what it refuses: whoever is not the page, and whatever is no mask."""

from __future__ import annotations

import json
import re
import socket
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reports import GRID, deliver, scan
from reviewing import Served, by_hand, drawn, framed, given, predictions, put_map, served
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from vmseg_auto.cli.review import main
from vmseg_auto.data.images.images import read_mask, write_image, write_mask
from vmseg_auto.review.guard import Guard
from vmseg_auto.review.predicted_cases import AddTo, PredictedCases
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory

SIZE = prod(GRID.shape)


def told(server: Served, key: int = 0, **other: Any) -> dict[str, Any]:
    about = server.json(f"/api/cases/{key}")
    usual = {"reader": "Dr Ada", "comment": "", "minutes": 1.0, "draft": 0, "decision": "corrected"}
    return usual | {name: about[name] for name in ("version", "base")} | other


def problem(answer: tuple[int, bytes, dict[str, str]]) -> str:
    text: str = json.loads(answer[1])["problem"]
    return text


PAGES = ("/", "/static/app.js", "/static/niivue.js", "/api/queue", "/api/cases/0", "/api/cases/0/scan")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}"])
def test_another_name_that_points_here_is_refused(server: Served, host: str) -> None:
    """DNS rebinding."""
    for path in PAGES:
        status, body, _ = server.ask("GET", path, headers={"Host": host.format(port=server.port)})
        assert status == 403
        assert b"anna" not in body


def test_the_port_that_browsers_leave_out_is_known() -> None:
    """Of http://127.0.0.1:80 they send no port."""
    guard = Guard(JSONResponse({}), 80, "token")
    for host in ("127.0.0.1", "localhost"):
        sent = {"host": host, "origin": f"http://{host}", "x-vmseg-token": "token"}
        assert guard.why_not("POST", "/api/queue", Headers(sent)) is None
    for host in ("127.0.0.1:81", "evil.example"):
        assert guard.why_not("GET", "/", Headers({"host": host})) is not None


def test_another_page_is_refused(server: Served, folder: Path) -> None:
    """Cross-site requests, by scripts and by forms."""
    before = (folder / "anna.json").read_bytes()
    body = framed(told(server), bytes(SIZE))
    for origin in (
        "https://evil.example",
        "null",
        f"http://127.0.0.1:{server.port + 1}",
        f"http://localhost:{server.port}",
    ):
        assert server.ask("GET", "/api/queue", headers={"Origin": origin})[0] == 403
        assert server.ask("POST", "/api/cases/0/decision", body, {"Origin": origin})[0] == 403
    assert server.ask("POST", "/api/cases/0/decision", body, {"Origin": ""})[0] == 403
    for site in ("cross-site", "same-site"):
        assert server.ask("GET", "/", headers={"Sec-Fetch-Site": site})[0] == 403
    answer = server.ask("OPTIONS", "/api/queue", headers={"Access-Control-Request-Method": "POST"})
    assert not any(name.startswith("access-control") for name in answer[2])
    assert (folder / "anna.json").read_bytes() == before


@pytest.mark.parametrize("token", ["", "wrong", "é"])
def test_without_the_token_nothing_of_a_patient_is_told(server: Served, token: str) -> None:
    for path in ("/api/queue", "/api/cases/0", "/api/cases/0/scan", "/api/cases/0/mask", "/api/cases/0/draft", "/api/"):
        answer = server.ask("GET", path, headers={"X-Vmseg-Token": token.encode("latin-1").decode("latin-1")})
        assert answer[0] == 403
        assert "vmseg_review has shown last" in problem(answer)
    assert server.ask("GET", f"/api/queue?token={server.token}#{server.token}", headers={"X-Vmseg-Token": ""})[0] == 403
    assert server.ask("POST", "/api/end", headers={"X-Vmseg-Token": token})[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/static/../cases.py", "/static/..%2fcases.py", "/static/%2e%2e/%2e%2e/setup.cfg", "/static//etc/passwd",
        "/static/index.html", "/etc/passwd", "/api/cases/../queue", "/api/cases/-1", "/api/cases/anna",
        "/api/cases/0/x",
        "/api/cases/99999999999999999999999999999999999999", "/%00", "/static/%00app.js",
    ],
)  # fmt: skip
def test_no_path_of_a_request_is_opened(server: Served, path: str) -> None:
    status, body, _ = server.ask("GET", path)
    assert status in (404, 422)
    assert b"root:" not in body
    assert set(json.loads(body)) == {"problem"}


def test_bodies_are_bounded(server: Served, folder: Path) -> None:
    record = (folder / "anna.json").read_bytes()
    good = told(server)
    for body, headers, status in (
        (framed(good, bytes(SIZE)), {"Content-Length": str(10**12)}, 413),
        (framed(good, bytes(SIZE + 20_000)), {}, 413),
        (b"5\r\nabcde\r\n0\r\n\r\n", {"Content-Length": "", "Transfer-Encoding": "chunked"}, 411),
        (framed(good, bytes(SIZE)), {"Content-Length": "-5"}, 400),
        (framed(good, bytes(SIZE - 1)), {}, 422),
        (framed(good, bytes(SIZE + 1)), {}, 422),
        (framed(good | {"comment": "x" * 2001}, bytes(SIZE)), {}, 422),
        (b"\xff\xff\xff\xff" + bytes(SIZE), {}, 422),
        (b"", {}, 422),
        (framed(good, b"\x09" * SIZE), {}, 422),
        ((5).to_bytes(4, "little") + b"[" * 5 + bytes(SIZE), {}, 422),
        (framed([good], bytes(SIZE)), {}, 422),  # type: ignore[arg-type]
        (framed(good | {"decision": "deleted"}, bytes(SIZE)), {}, 422),
        (framed(good | {"reader": "  "}, bytes(SIZE)), {}, 422),
        (framed(good | {"reader": "\ud800"}, bytes(SIZE)), {}, 422),
        (framed(good | {"minutes": float("nan")}, bytes(SIZE)), {}, 422),
        (framed(good | {"version": True}, bytes(SIZE)), {}, 422),
    ):
        try:
            answer = server.ask("POST", "/api/cases/0/decision", body, headers)
        except OSError:  # the server has closed the connection before all was sent
            continue
        assert answer[0] == status, (answer[1], body[:80])
    assert (folder / "anna.json").read_bytes() == record
    assert server.ask("PUT", "/api/cases/0/draft", framed(good, bytes(SIZE + 1)))[0] == 422
    assert not (folder / "drafts").exists()


def test_pages_run_nothing_but_their_own_files(server: Served) -> None:
    for path in PAGES:
        headers = server.ask("GET", path)[2]
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
    page = server.ask("GET", "/")[1].decode()
    assert not re.findall(r"(?:src|href)=\"(?!/static/|data:,)", page)
    assert "anna" not in page
    viewer = zlib.decompress(server.ask("GET", "/static/niivue.js")[1], wbits=31)
    assert b"niivue" in viewer.lower()


def test_voxels_are_sent_as_they_are(server: Served, folder: Path) -> None:
    about = server.json("/api/cases/0")
    mask = np.frombuffer(server.ask("GET", "/api/cases/0/mask")[1], np.uint8).reshape(about["shape"])
    np.testing.assert_array_equal(mask, read_mask(folder / "anna.nii.gz")[0])
    steps = np.frombuffer(server.ask("GET", "/api/cases/0/scan")[1], "<u2").reshape(about["shape"])
    assert (steps.min(), steps.max()) == (0, 65_535)
    assert about["spacing_mm"] == [3.0, 1.0, 1.0]
    assert [plane["plane"] for plane in about["planes"]] == ["axial", "coronal", "sagittal"]


def test_a_draft_and_a_decision_are_written(server: Served, folder: Path) -> None:
    mask = drawn(read_mask(folder / "anna.nii.gz")[0])
    sent = told(server, comment="Größe?")
    status, body, _ = server.ask("PUT", "/api/cases/0/draft", framed(sent, mask.tobytes()))
    assert (status, json.loads(body)["draft"]) == (200, 1)
    again = server.ask("PUT", "/api/cases/0/draft", framed(sent, mask.tobytes()))
    assert again[0] == 409
    assert "another window" in problem(again)
    status, body, _ = server.ask("GET", "/api/cases/0/draft")
    size = int.from_bytes(body[:4], "little")
    note = json.loads(body[4 : 4 + size])
    assert (note["number"], note["comment"], note["of_this_mask"]) == (1, "Größe?", True)
    assert body[4 + size :] == mask.tobytes()
    over = server.ask("PUT", "/api/cases/0/draft", framed(sent | {"take_over": True}, mask.tobytes()))
    assert json.loads(over[1])["draft"] == 2
    status, body, _ = server.ask("POST", "/api/cases/0/decision", framed(sent | {"draft": 2}, mask.tobytes()))
    assert (status, json.loads(body)["entry"]["state"]) == (200, "corrected")
    np.testing.assert_array_equal(read_mask(folder / "anna.nii.gz")[0], mask)
    assert server.ask("GET", "/api/cases/0/draft")[0] == 204
    late = server.ask("POST", "/api/cases/0/decision", framed(sent | {"decision": "no lesion"}, mask.tobytes()))
    assert late[0] == 409
    assert "Dr Ada has saved this case meanwhile" in problem(late)
    assert read_json(folder / "anna.json")["reviews"][0]["comment"] == "Größe?"
    assert [case["state"] for case in server.json("/api/queue")["cases"]] == ["corrected", "to do"]


def test_a_log_names_nobody_of_the_dataset(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = predictions(tmp_path, "alba_v2")
    cases = PredictedCases(folder, None, Inventory(), AddTo(by_hand(tmp_path, "alba_v1", "bo")))
    opened = cases.open(0)
    cases.save(0, given(opened, "accepted"), opened.mask)
    with served(cases) as server:
        status, body, _ = server.ask("POST", "/api/cases/0/add/unknown")
        assert (status, json.loads(body)["asks_visits"]) == (422, True)
        assert "alba_v1" in json.loads(body)["problem"]
        assert server.ask("POST", "/api/cases/0/add/join")[0] == 200
    assert "VisitsUnknownError" in caplog.text
    assert "alba" not in caplog.text + "".join(server.heard.said)


def test_a_case_is_added_where_a_dataset_was_named(folder: Path, tmp_path: Path, server: Served) -> None:
    answer = server.ask("POST", "/api/cases/0/add/unknown")
    assert answer[0] == 422
    assert "no dataset was named" in problem(answer)
    dataset = by_hand(tmp_path, "alba", "bo")
    with served(PredictedCases(folder, None, Inventory(), AddTo(dataset))) as other:
        assert other.ask("POST", "/api/cases/0/add/perhaps")[0] == 404
        assert other.ask("GET", "/api/cases/0/add/unknown")[0] == 405
        assert "nobody has accepted" in problem(other.ask("POST", "/api/cases/0/add/unknown"))
        mask = read_mask(folder / "anna.nii.gz")[0].tobytes()
        sent = framed(told(other, decision="accepted"), mask)
        assert json.loads(other.ask("POST", "/api/cases/0/decision", sent)[1])["may_be_added"] is True
        assert other.ask("POST", "/api/cases/0/add/unknown", headers={"Origin": "https://evil.example"})[0] == 403
        assert json.loads(other.ask("POST", "/api/cases/0/add/unknown")[1])["told"].startswith("anna is now anna in")
        assert "the dataset has this scan already, as anna" in problem(other.ask("POST", "/api/cases/0/add/apart"))
        assert other.ask("POST", "/api/cases/0/add/unknown", headers={"X-Vmseg-Token": ""})[0] == 403


def test_maps_are_sent_in_steps_of_their_highest(server: Served, folder: Path) -> None:
    assert server.json("/api/cases/0")["overlays"] == []
    assert server.ask("GET", "/api/cases/0/overlays/0")[0] == 404
    values = np.zeros(GRID.shape, np.float32)
    values[4, 20, 20] = 0.5
    path = put_map(folder, "anna", values)
    assert server.json("/api/cases/0")["overlays"] == ["uncertainty"]
    sent = np.frombuffer(server.ask("GET", "/api/cases/0/overlays/0")[1], np.uint8).reshape(GRID.shape)
    np.testing.assert_array_equal(sent, np.round(255 * values).astype(np.uint8))
    write_image(path, values / 2, GRID)
    assert "the map was changed since it was written" in problem(server.ask("GET", "/api/cases/0/overlays/0"))
    put_map(folder, "anna", values[1:], Geometry((9, 40, 48), GRID.spacing_mm))
    assert server.json("/api/cases/0")["overlays"] == ["uncertainty"]
    assert "does not lie on the scan's grid" in problem(server.ask("GET", "/api/cases/0/overlays/0"))


def test_a_map_of_another_prediction_is_named_and_not_shown(server: Served, folder: Path) -> None:
    write_image(folder / "uncertainty" / "anna_uncertainty.nii.gz", np.zeros(GRID.shape, np.float32), GRID)
    told = server.json("/api/cases/0")
    assert told["overlays"] == []
    assert told["notes"][-1].startswith(
        "Not shown, as they are not of this prediction: anna_uncertainty.nii.gz. Predict"
    )


def test_what_became_of_files_meanwhile_is_said(server: Served, folder: Path, tmp_path: Path) -> None:
    sent = framed(told(server), bytes(SIZE))
    small = Geometry((4, 40, 48), GRID.spacing_mm)
    write_mask(folder / "anna.nii.gz", np.zeros(small.shape, np.uint8), small)
    answer = server.ask("POST", "/api/cases/0/decision", sent)
    assert answer[0] == 422
    assert "does not lie on the scan's grid" in problem(answer)
    (tmp_path / "scans" / "bert.nii.gz").write_bytes(b"")
    assert server.ask("GET", "/api/cases/1")[0] == 422
    (folder / "bert.nii.gz").unlink()
    assert "the mask is missing" in problem(server.ask("GET", "/api/cases/1"))


def test_names_with_scripts_stay_names(tmp_path: Path) -> None:
    name = "<script>alert(1)<\u2044script>"
    masks = {name: scan(tmp_path / "scans", name)}
    with served(deliver(tmp_path / "scans", tmp_path / "masks", masks)) as server:
        status, body, headers = server.ask("GET", "/api/queue")
        assert (status, headers["content-type"]) == (200, "application/json")
        assert json.loads(body)["cases"][0]["case"] == name
        assert server.json("/api/cases/0")["case"] == name


def test_a_busy_port_gives_way_to_the_next_and_only_this_machine_is_served(folder: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with served(folder, port=port) as server:
            assert port < server.port < port + 50
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", server.port), timeout=5)


def test_links_differ_and_no_log_names_token_or_patient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = predictions(tmp_path, "muster_erika")
    with served(folder) as one, served(folder) as other:
        assert one.token != other.token
        assert len(one.token) >= 40
        assert one.token not in "".join(one.heard.said)
        assert one.heard.said[0] == "1 case, 1 of them to do."
    assert one.heard.said[-1] == "Decisions: 1 to do."
    assert main(["-i", str(tmp_path / "nothing"), "--no-browser"]) == 2
    assert "volumes.csv" in capsys.readouterr().err


def test_a_folder_that_holds_no_predictions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no volumes\.csv"), served(tmp_path):
        pass
