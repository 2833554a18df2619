/* How long liboath takes to find that a passcode is none of a window of 1000: nanoseconds of one call, the fastest of
   some dozens. Usage: oath_window SECRET_HEX COUNTER PASSCODE */
#include <liboath/oath.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

int main(int count, char **arguments) {
  unsigned char secret[64];
  size_t length = 0;
  double best = 0;
  if (count != 4 || oath_init() != OATH_OK) return 2;
  for (const char *hex = arguments[1]; hex[0] && hex[1] && length < sizeof secret; hex += 2)
    if (sscanf(hex, "%2hhx", &secret[length++]) != 1) return 2;
  for (int time = 0; time < 40; time++) {
    double begun = now();
    int found = oath_hotp_validate((const char *)secret, length, strtoull(arguments[2], NULL, 10), 1000, arguments[3]);
    double took = now() - begun;
    if (found != OATH_INVALID_OTP) return 3;
    if (best == 0 || took < best) best = took;
  }
  printf("%.0f\n", best);
  return 0;
}
