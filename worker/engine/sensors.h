/*
 * sensors.h: energy, clocks and heat of this machine's CPUs, where it tells.
 */
#ifndef SENSORS_H
#define SENSORS_H

#include "backend.h"

/* NaN for what cannot be read */
extern void sensors_cpu(struct device_state *state);

#endif							/* SENSORS_H */
