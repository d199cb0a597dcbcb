"""What an environment costs in a month: computed from its config, a declared workload, assumptions with their reasons and dated prices.

What earlier runs show replaces what is assumed of them.
"""
