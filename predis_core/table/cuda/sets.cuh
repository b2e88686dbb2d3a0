// Where a key belongs, and what a set's record holds. A set is 32 words: lane 8 * line + part of a
// warp has a key word, or, as part 7, the line's flags; so lanes are ordered as ways are.

constexpr u32 WARP = 0xffffffffu;
constexpr i32 PARTS = 8, FLAGS_PART = 7;
constexpr u32 GUESS = 1u << HOT_BITS;
constexpr i64 HOT = (1 << HOT_BITS) - 1;

DEVICE i64 thread_number() { return i64(blockIdx.x) * blockDim.x + threadIdx.x; }
DEVICE i64 threads_in_grid() { return i64(gridDim.x) * blockDim.x; }
DEVICE i64 warp_number() { return thread_number() >> 5; }
DEVICE i64 warps_in_grid() { return threads_in_grid() >> 5; }
DEVICE i32 lane_number() { return threadIdx.x & 31; }
DEVICE u32 lanes_where(bool holds) { return __ballot_sync(WARP, holds); }
DEVICE i32 lowest(u32 lanes) { return __ffs(lanes) - 1; }

DEVICE void add(i64* counter, i64 number) {
    if (number != 0) atomicAdd((u64*)counter, u64(number));
}

DEVICE u64 mix(i64 word, i64 seed) {
    u64 x = u64(word) ^ u64(seed);
    x = (x ^ (x >> MIX_SHIFT_0)) * MIX_FACTOR_0;
    x = (x ^ (x >> MIX_SHIFT_1)) * MIX_FACTOR_1;
    return x ^ (x >> MIX_SHIFT_2);
}

struct Home {
    i64 number;  // of the set, in the table
    i64 slot;    // of its first way
    i32 ways, lines, line;
    u32 fingerprint;
};

DEVICE Home home_at(const Table& table, i64 index) {
    const i32 ways = i32(table.quotient + (index < table.remainder));
    const i64 before = index * table.quotient + lesser(index, table.remainder);
    return {table.base + index, table.first_slot + before, ways,
            (ways + WAYS_PER_LINE - 1) / WAYS_PER_LINE, 0, 0};
}

DEVICE Home home_of(const Table& table, u64 hashed) {
    Home home = home_at(table, i64(__umul64hi(hashed, u64(table.sets))));
    home.line = (i32(hashed & 0xffff) * home.lines) >> 16;
    home.fingerprint = u32(hashed >> 16) & ((1 << FINGERPRINT_BITS) - 1);
    return home;
}

DEVICE i64* line_at(const Table& table, i64 number, i32 line) {
    return table.lines + (number * LINES + line) * PARTS;
}

DEVICE u8* record_at(const Table& table, i64 number) { return table.records + number * STRIDE; }

DEVICE u8* hot_at(const Table& table, i64 number, i32 way) {
    i64* flags = line_at(table, number, way / WAYS_PER_LINE) + FLAGS_PART;
    return (u8*)flags + 1 + way % WAYS_PER_LINE;
}

DEVICE i64 load_state(const u8* record) { return STATE < 0 ? 0 : *(const i64*)(record + STATE); }

DEVICE void store_state(u8* record, i64 state) {
    if (STATE >= 0) *(i64*)(record + STATE) = state;
}

DEVICE i64 load_column(const u8* record, i32 way) {
    OTHERS_MAY_GO_ON();
    const u8* at = record + COLUMN + way * COLUMN_BYTES;
    if (COLUMN_BYTES == 1) return *at;
    if (COLUMN_BYTES == 2) return *(const u16*)at;
    if (COLUMN_BYTES == 4) return *(const u32*)at;
    return COLUMN_BYTES == 8 ? *(const i64*)at : 0;
}

DEVICE void store_column(u8* record, i32 way, i64 above) {
    OTHERS_MAY_GO_ON();
    u8* at = record + COLUMN + way * COLUMN_BYTES;
    if (COLUMN_BYTES == 1) *at = u8(above);
    if (COLUMN_BYTES == 2) *(u16*)at = u16(above);
    if (COLUMN_BYTES == 4) *(u32*)at = u32(above);
    if (COLUMN_BYTES == 8) *(i64*)at = above;
}

DEVICE i64 meta_after_hit(i64 meta, i64 tick, i64 state, const i64* parameters) {
    const i64 changed = policy_on_hit(meta & VISIBLE, tick, state, parameters);
    return (meta & ~i64(VISIBLE)) | (changed & VISIBLE);
}

// Metadata once the policy was told what a value takes and cost.
DEVICE i64 meta_with_value(i64 meta, i64 cost, const i64* parameters) {
    if (!HAS_ON_VALUE) return meta;
    return policy_on_value(meta, ROW_BYTES, cost, parameters) & SLOT_MASK;
}

DEVICE bool is_over(i64 deadline, i64 now) { return 0 < deadline && deadline <= now; }

// Copy a row with `lanes` threads, of which this is `lane`; in units as wide as rows allow.
DEVICE void copy_row(u8* to, const u8* from, i32 lane, i32 lanes) {
    for (i32 at = lane * i32(sizeof(Unit)); at < ROW_BYTES; at += lanes * i32(sizeof(Unit)))
        *(Unit*)(to + at) = *(const Unit*)(from + at);
}

DEVICE void clear_row(u8* row, i32 lane, i32 lanes) {
    for (i32 at = lane * i32(sizeof(Unit)); at < ROW_BYTES; at += lanes * i32(sizeof(Unit)))
        *(Unit*)(row + at) = Unit{};
}
