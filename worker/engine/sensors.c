/*
 * sensors.c: energy, clocks and heat of this machine's CPUs, where it tells.
 *
 * Energy is the sum of RAPL's package counters, which usually only root may
 * read; throttling is what the kernel counted for the first CPU's package.
 * A virtual machine tends to have neither.
 */
#include "sensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define POWERCAP "/sys/class/powercap/intel-rapl:%d/%s"
#define MOST_PACKAGES 16

/* the number in a file, NaN where there is none */
static double
read_number(const char *path)
{
	FILE	   *file = fopen(path, "re");
	char		text[64] = "";
	char	   *end = text;
	double		number = NAN;

	if (file == NULL)
		return NAN;
	if (fgets(text, sizeof(text), file) != NULL)
		number = strtod(text, &end);
	fclose(file);
	return end == text ? NAN : number;
}

static double
package_number(int package, const char *name)
{
	char		path[128];

	snprintf(path, sizeof(path), POWERCAP, package, name);
	return read_number(path);
}

/* the counters go round about; each is followed from the first look on */
static double
energy_joules(void)
{
	static double last[MOST_PACKAGES];
	static double rounds[MOST_PACKAGES];
	double		sum = NAN;

	for (int i = 0; i < MOST_PACKAGES; i++)
	{
		double		now = package_number(i, "energy_uj");

		if (isnan(now))
			break;
		if (now < last[i])
			rounds[i] += package_number(i, "max_energy_range_uj");
		last[i] = now;
		sum = (isnan(sum) ? 0 : sum) + (now + rounds[i]) * 1e-6;
	}
	return sum;
}

void
sensors_cpu(struct device_state *state)
{
	const char *throttle = "/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_total_time_ms";

	*state = (struct device_state){
		.energy_j = energy_joules(),
		.throttled_s = read_number(throttle) * 1e-3,
		.power_capped_s = NAN,
		.clock_hz = read_number("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq") * 1e3,
		.memory_clock_hz = NAN,
		.temperature_c = read_number("/sys/class/thermal/thermal_zone0/temp") * 1e-3,
	};
}
