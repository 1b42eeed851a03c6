"""scikit-learn on one pair of CSV files: a ColumnTransformer with an MLP, and histogram gradient boosting. One line of JSON."""
import json
import sys
import time
import warnings

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score, roc_auc_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.compose import TransformedTargetRegressor

warnings.filterwarnings("ignore")
train, test = pd.read_csv(sys.argv[1]), pd.read_csv(sys.argv[2])
target = sys.argv[3]
y, yt = train.pop(target), test.pop(target)
for frame in (train, test):
    for name in list(frame):
        if name == "joined":
            days = pd.to_datetime(frame[name])
            frame["joined"] = days.astype("int64") / 8.64e13
            frame["day"] = days.dt.dayofyear
        if name in ("customer_id", "last_ticket"):
            frame["topic"] = frame[name].str.split(" from ").str[0]
            if name == "customer_id":
                frame.drop(columns="topic", inplace=True)
            frame.drop(columns=name, inplace=True)
numbers = train.select_dtypes("number").columns.tolist()
names = [name for name in train if name not in numbers]
classes = y.dtype == object or y.nunique() <= 12
dense = ColumnTransformer([
    ("n", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
    ("c", make_pipeline(SimpleImputer(strategy="constant", fill_value="missing"), OneHotEncoder(handle_unknown="ignore", min_frequency=10)), names),
])
codes = ColumnTransformer([
    ("n", "passthrough", numbers),
    ("c", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), names),
])
if classes:
    mlp = make_pipeline(dense, MLPClassifier((64, 32), early_stopping=len(train) > 1000, max_iter=200, random_state=1))
    boosting = make_pipeline(codes, HistGradientBoostingClassifier(random_state=1))
else:
    mlp = TransformedTargetRegressor(make_pipeline(dense, MLPRegressor((16,), early_stopping=True, max_iter=2000, learning_rate_init=0.01, random_state=1)), transformer=StandardScaler())
    boosting = make_pipeline(codes, HistGradientBoostingRegressor(random_state=1))


def scores(model):
    start = time.perf_counter()
    model.fit(train, y)
    seconds = time.perf_counter() - start
    if not classes:
        p = model.predict(test)
        return {"rmse": mean_squared_error(yt, p) ** 0.5, "r2": r2_score(yt, p), "seconds": seconds}
    p = model.predict_proba(test)
    order = list(model.classes_)
    auc = roc_auc_score(yt == order[1], p[:, 1]) if len(order) == 2 else roc_auc_score(yt, p, multi_class="ovr", labels=order)
    return {"rocAuc": auc, "logLoss": log_loss(yt, p, labels=order), "accuracy": accuracy_score(yt, np.array(order)[p.argmax(1)]), "seconds": seconds}


print(json.dumps({"mlp": scores(mlp), "boosting": scores(boosting)}))
