"""pandas and scikit-learn on the CSV that table-speed.mjs writes: seconds of reading, and of fitting and transforming."""
import json
import sys
import time
import warnings

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, OneHotEncoder, StandardScaler

warnings.filterwarnings("ignore")
start = time.perf_counter()
frame = pd.read_csv(sys.argv[1])
read = time.perf_counter() - start
start, cpu = time.perf_counter(), time.process_time()
y = LabelEncoder().fit_transform(frame.pop("y"))
frame.pop("id")
for name in ("d0", "d1"):
    days = pd.to_datetime(frame.pop(name))
    frame[name] = days.astype("int64") / 8.64e13
    for part, length in ((days.dt.dayofyear, 365.25), (days.dt.dayofweek, 7)):
        frame[f"{name} sin {length}"] = np.sin(2 * np.pi * part / length)
        frame[f"{name} cos {length}"] = np.cos(2 * np.pi * part / length)
numbers = frame.select_dtypes("number").columns.tolist()
names = [name for name in frame if name not in numbers]
x = ColumnTransformer([
    ("n", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
    ("c", make_pipeline(SimpleImputer(strategy="constant", fill_value="missing"), OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10, sparse_output=False, dtype=np.float32)), names),
]).fit_transform(frame)
print(json.dumps({"read": read, "fit": time.perf_counter() - start, "cpu": time.process_time() - cpu, "features": x.shape[1]}))
