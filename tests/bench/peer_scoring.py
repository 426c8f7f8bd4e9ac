"""PyTorch and ONNX Runtime scoring the candidates of one user: the peers of bench_scoring.

usage: peer_scoring.py MODEL FIELDS CANDIDATES CALLS wall|cpu   MODEL: deepfm | autoint

One thread. Every field of every row is looked up in one table of 100,000 rows x 16, as a server without our
savings does. DeepFM has an MLP of 400 x 3; AutoInt has 3 layers of 2 heads x 32. For each line on
standard input it prints one JSON object: medians in milliseconds of CALLS calls each,
by the clock or by the thread's own time. Needs torch, onnx and onnxruntime.
"""
import json
import os
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference"))
import models  # noqa: E402

ROWS, DIM = 100_000, 16


class DeepFm(torch.nn.Module):
    def __init__(self, fields):
        super().__init__()
        self.embedding = torch.nn.Embedding(ROWS, DIM)
        self.linear = torch.nn.Embedding(ROWS, 1)
        self.bias = torch.nn.Parameter(torch.zeros(1))
        self.mlp = models.Mlp([fields * DIM, 400, 400, 400, 1])

    def forward(self, ids):
        e = self.embedding(ids)
        pair = 0.5 * (e.sum(1).square() - e.square().sum(1)).sum(1)
        z = self.bias + self.linear(ids).sum((1, 2)) + pair + self.mlp.run(e.flatten(1)).squeeze(1)
        return torch.sigmoid(z)


class AutoInt(torch.nn.Module):
    def __init__(self, fields):
        super().__init__()
        self.embedding = torch.nn.Embedding(ROWS, DIM)
        widths = [DIM, 64, 64, 64]
        self.attention = torch.nn.ModuleList(
            models.Attention(a, b, 2, False, True, False) for a, b in zip(widths, widths[1:]))
        self.out = torch.nn.Linear(fields * 64, 1)

    def forward(self, ids):
        x = self.embedding(ids)
        for layer in self.attention:
            x = layer(x)
        return torch.sigmoid(self.out(x.flatten(1)).squeeze(1))


def median(run, calls, clock):
    times = []
    for _ in range(calls):
        start = clock()
        run()
        times.append(clock() - start)
    return float(np.median(times)) * 1e3


def main(name, fields, candidates, calls, clock):
    clock = {"wall": time.perf_counter, "cpu": time.thread_time}[clock]
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = {"deepfm": DeepFm, "autoint": AutoInt}[name](fields).eval()
    ids = torch.randint(0, ROWS, (candidates, fields))
    with tempfile.TemporaryDirectory(prefix="freshet-peer-") as folder, torch.no_grad():
        path = os.path.join(folder, "m.onnx")
        torch.onnx.export(model, (ids,), path, input_names=["ids"], output_names=["score"], dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feed = {"ids": ids.numpy()}
        off = np.abs(session.run(None, feed)[0] - model(ids).numpy()).max()
        assert off < 1e-4, off
        for _ in sys.stdin:
            print(json.dumps({"pytorch": median(lambda: model(ids), calls, clock),
                              "onnxruntime": median(lambda: session.run(None, feed), calls, clock),
                              "versions": [torch.__version__, onnxruntime.__version__]}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5])
