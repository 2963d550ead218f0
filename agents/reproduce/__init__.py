"""The claims of the reference system, put to the simulator: ``python -m agents.reproduce``.

The reference is *Combining Cloud and Mobile Computing for Machine Learning* (arXiv 2402.04880).
Its devices, networks and formulas could not be obtained, so what is compared is findings, not
figures: each claim says what the reference says, what is found here, and what is assumed.
"""
