/*
 * cuda_nvml.h: a GPU's energy, clocks and throttling, from NVML where it is.
 */
#ifndef CUDA_NVML_H
#define CUDA_NVML_H

#include "backend.h"

struct cuda_nvml
{
	void	   *library;		/* NULL: not there */
	void	   *device;
};

/* bus is the device's PCI id, such as 0000:3b:00.0 */
extern void cuda_nvml_open(struct cuda_nvml *nvml, const char *bus);
extern void cuda_nvml_close(struct cuda_nvml *nvml);

/* NaN for what it does not say */
extern void cuda_nvml_state(const struct cuda_nvml *nvml, struct device_state *state);

/* the driver's version, "" if unknown */
extern void cuda_nvml_driver(const struct cuda_nvml *nvml, char *version, unsigned size);

#endif							/* CUDA_NVML_H */
