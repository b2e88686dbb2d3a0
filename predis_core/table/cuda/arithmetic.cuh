// int64 as a policy's functions have it: sums, differences, products and shifts to the left wrap;
// division and remainder round down, as Python's do. What Python would raise for is 0.

typedef long long i64;
typedef unsigned long long u64;
typedef int i32;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

#define DEVICE static __device__ __forceinline__

// What a function returns that returns a tuple.
template <int N>
struct Several {
    i64 at[N];
};

DEVICE i64 sum(i64 a, i64 b) { return i64(u64(a) + u64(b)); }
DEVICE i64 difference(i64 a, i64 b) { return i64(u64(a) - u64(b)); }
DEVICE i64 product(i64 a, i64 b) { return i64(u64(a) * u64(b)); }
DEVICE i64 negative(i64 a) { return i64(0 - u64(a)); }
DEVICE i64 complement(i64 a) { return ~a; }
DEVICE i64 both(i64 a, i64 b) { return a & b; }
DEVICE i64 either(i64 a, i64 b) { return a | b; }
DEVICE i64 one_of(i64 a, i64 b) { return a ^ b; }
DEVICE i64 lesser(i64 a, i64 b) { return b < a ? b : a; }
DEVICE i64 greater(i64 a, i64 b) { return b > a ? b : a; }
DEVICE i64 magnitude(i64 a) { return a < 0 ? negative(a) : a; }

DEVICE i64 quotient(i64 a, i64 b) {
    if (b == 0) return 0;
    if (b == -1) return negative(a);  // the lowest int64 by -1 is a trap of some processors
    i64 found = a / b;
    return found * b != a && (a ^ b) < 0 ? found - 1 : found;
}

DEVICE i64 remainder(i64 a, i64 b) {
    if (b == 0 || b == -1) return 0;
    i64 found = a % b;
    return found != 0 && (found ^ b) < 0 ? found + b : found;
}

DEVICE i64 shifted_left(i64 a, i64 by) { return u64(by) < 64 ? i64(u64(a) << by) : 0; }

DEVICE i64 shifted_right(i64 a, i64 by) {
    if (by < 0) return 0;
    return a >> (by < 63 ? by : 63);
}
