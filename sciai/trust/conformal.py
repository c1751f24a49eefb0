import numpy as np
def quantile(s, a): return float(np.quantile(s, 1-a))
