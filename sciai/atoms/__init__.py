"""A universal interatomic potential: energies, forces and stresses of molecules, crystals and surfaces."""
