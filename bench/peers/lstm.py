"""An LSTM 16 -> 128 over 50 steps of 32 samples, forward and gradient by the weights, on one thread: beside bench/loops.ts."""
import time
import torch

torch.set_num_threads(1)
torch.manual_seed(1)
model = torch.nn.LSTM(16, 128)
xs = torch.randn(50, 32, 16)


def step():
    model.zero_grad(set_to_none=True)
    hs, _ = model(xs)
    hs.square().sum().backward()


for _ in range(5):
    step()
best = min((lambda start: (step(), time.perf_counter() - start)[1])(time.perf_counter()) for _ in range(60))
print(f"PyTorch {torch.__version__}, one thread: LSTM 16 -> 128, 50 steps, batch 32: {1000 * best:.2f} ms")
