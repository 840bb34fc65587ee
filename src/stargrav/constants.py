"""Physical constants with the unit in the name (CODATA 2018, exact where defined)."""

import math

C_KM_S = 299_792.458
C_CGS = 2.997_924_58e10
H_CGS = 6.626_070_15e-27
K_BOLTZMANN_CGS = 1.380_649e-16
K_BOLTZMANN_EV = 8.617_333_262e-5
ELECTRON_MASS_G = 9.109_383_7015e-28
ELECTRON_CHARGE_ESU = 4.803_204_71e-10
ATOMIC_MASS_UNIT_G = 1.660_539_066_60e-24
BOHR_RADIUS_CM = 5.291_772_109_03e-9
HC_CM_K = 1.438_776_877
EV_WAVENUMBER = 8_065.543_937
RYDBERG_EV = 13.605_693_122_994
AB_ZERO_POINT_JY = 3_631.0
# integrated cross section of a classical oscillator, pi e^2 / (m_e c)
CLASSICAL_CM2_HZ = math.pi * ELECTRON_CHARGE_ESU**2 / (ELECTRON_MASS_G * C_CGS)
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))  # of a Gaussian
