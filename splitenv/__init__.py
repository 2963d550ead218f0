"""Split inference between phones and cloud GPUs.

``splitenv.env`` is the decision problem, ``splitenv.vector_env`` thousands of it in one call,
``splitenv.wrappers`` other views of its actions, ``splitenv.scenario`` what an episode is,
``splitenv.profiles`` the measured figures, ``splitenv.runtime`` the scheduler for production.
Importing the package registers the environment with gymnasium, where that is installed.
"""

from importlib.util import find_spec

if find_spec("gymnasium"):
    from gymnasium.envs.registration import register

    register(
        id="splitenv/SplitInference-v0",
        entry_point="splitenv.env:SplitInferenceEnv",
        vector_entry_point="splitenv.vector_env:SplitInferenceVectorEnv",
    )
