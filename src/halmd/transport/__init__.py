"""From a trajectory to diffusivity, conductivity and activation energy."""
