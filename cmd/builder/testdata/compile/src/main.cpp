#include "greeting.h"

#include <cstdio>

int main() { std::printf("%s from %s\n", GREETING, TARGET); }
