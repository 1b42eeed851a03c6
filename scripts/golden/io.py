"""Golden bytes for the file formats: .npy by NumPy itself, safetensors by hand (eight bytes, JSON, data):
python3 scripts/golden/io.py > test/golden/io.json. And NumPy's reading of a safetensors file that this library wrote:
python3 scripts/golden/io.py FILE > test/golden/io-written.json."""
import base64
import io
import json
import struct
import sys

import numpy as np


def read_safetensors(path):
    """An independent reader in a few lines."""
    raw = open(path, 'rb').read()
    (n,) = struct.unpack('<Q', raw[:8])
    header = json.loads(raw[8 : 8 + n])
    kinds = {'F32': '<f4', 'F64': '<f8', 'I32': '<i4', 'BOOL': '|b1', 'F16': '<f2'}
    data = raw[8 + n :]
    return {
        name: np.frombuffer(data[e['data_offsets'][0] : e['data_offsets'][1]], kinds[e['dtype']]).reshape(e['shape'])
        for name, e in header.items()
        if name != '__metadata__'
    }


def npy(array, version=None):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version)
    return out.getvalue()


def safetensors(tensors, metadata=None):
    header, data = {}, b''
    for name, (kind, shape, raw) in tensors.items():
        header[name] = {'dtype': kind, 'shape': list(shape), 'data_offsets': [len(data), len(data) + len(raw)]}
        data += raw
    if metadata:
        header['__metadata__'] = metadata
    text = json.dumps(header).encode()
    return struct.pack('<Q', len(text)) + text + data


def main():
    seed = 5
    rng = np.random.default_rng(seed)
    b64 = lambda raw: base64.b64encode(raw).decode()
    cases = []

    def case(name, array, version=None):
        cases.append({'name': name, 'bytes': b64(npy(array, version)), 'shape': list(array.shape), 'values': np.asarray(array, 'f8').ravel().tolist()})

    f = rng.standard_normal((2, 3, 4))
    for kind in ['<f2', '<f4', '<f8']:
        case(kind, f.astype(kind))
    for kind in ['|i1', '|u1', '<i2', '<u2', '<i4', '<u4', '<i8', '<u8']:
        case(kind, rng.integers(0, 100, (5,)).astype(kind))
    case('|b1', rng.integers(0, 2, (3, 3)).astype(bool))
    case('fortran', np.asfortranarray(f.astype('<f4')))
    case('fortran matrix', np.asfortranarray(rng.integers(-9, 9, (3, 5)).astype('<i4')))
    case('scalar', np.array(1.5))
    case('empty', np.zeros((0, 3), '<f4'))
    case('version 2', f.astype('<f4'), (2, 0))
    case('version 3', f.astype('<f4'), (3, 0))
    case('half specials', np.array([0, -0.0, 6e-8, 65504, np.inf, -np.inf, 0.333], '<f2')[:4])
    w = rng.standard_normal((2, 3)).astype('<f4')
    h = rng.standard_normal(4).astype('<f2')
    bf = rng.standard_normal(4).astype('<f4')
    bf_raw = (bf.view('<u4') >> 16).astype('<u2')
    tensors = {
        'w': ('F32', w.shape, w.tobytes()),
        'h': ('F16', h.shape, h.tobytes()),
        'bf': ('BF16', bf.shape, bf_raw.tobytes()),
        'n': ('I64', (3,), np.array([1, -2, 3], '<i8').tobytes()),
        'empty': ('F64', (0, 2), b''),
        'flag': ('BOOL', (2,), b'\x01\x00'),
    }
    values = {
        'w': w.astype('f8').ravel().tolist(),
        'h': h.astype('f8').tolist(),
        'bf': (bf_raw.astype('<u4') << 16).view('<f4').astype('f8').tolist(),
        'n': [1, -2, 3],
        'empty': [],
        'flag': [1, 0],
    }
    json.dump(
        {
            'generator': 'scripts/golden/io.py',
            'peer': 'numpy ' + np.__version__,
            'seed': seed,
            'npy': cases,
            'safetensors': {'bytes': b64(safetensors(tensors, {'by': 'numpy'})), 'values': values},
        },
        sys.stdout,
    )
    print()


def reading(path):
    """What NumPy finds in a file that this library wrote, beside the file's bytes."""
    json.dump(
        {
            'generator': 'scripts/golden/io.py FILE',
            'peer': 'numpy ' + np.__version__,
            'seed': None,
            'bytes': base64.b64encode(open(path, 'rb').read()).decode(),
            'tensors': {k: [str(v.dtype), list(v.shape), v.astype('f8').ravel().tolist()] for k, v in read_safetensors(path).items()},
        },
        sys.stdout,
    )
    print()


if len(sys.argv) > 1:
    reading(sys.argv[1])
else:
    main()
