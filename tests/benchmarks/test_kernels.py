"""The kernel benchmark, at a size that measures nothing: that it runs, and compares what it says it does."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import kernels as bench
from cleanprio_lib import kernels


def test_every_claim_has_a_row_and_its_ratio(tmp_path):
    path = tmp_path / "claims.json"
    bench.main(["--samples", "60", "--epochs", "1", "--repeats", "2", "--out", str(path)])
    written = pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))["claims"])
    assert written.what.tolist() == [
        f"{kernel}: {what}" for kernel in kernels.KERNELS for what in bench.LEAST
    ]
    assert (written.ratio == written.competitor / written.ours).all()
    claimed = written[written.must != ""]
    assert len(claimed) == 3 * len(kernels.KERNELS)
    reached = claimed.ratio >= claimed.must.str.removeprefix("≥ ").astype(float)
    assert (claimed.reached == np.where(reached, "yes", "no")).all()


@pytest.mark.parametrize("kernel", kernels.KERNELS)
def test_both_loops_do_the_same(kernel):
    given = bench.problem(kernel, samples=600, epochs=3)
    np.testing.assert_allclose(
        given.matrix(held=True).values.numpy(), given.rows(given.task.x.numpy()), atol=1e-5
    )
    assert bench.difference(given) < 1e-4
    start = bench.our_descent(given, given.matrix(held=True), given.test_matrix()).train_residual
    assert start.iloc[0] - start.iloc[-1] > 0.1
