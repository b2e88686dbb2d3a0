// A set that a warp owns while it inserts: each lane has its way in registers, nobody else writes.

struct Counts {
    i64 size, insertions, updates, evictions, conflicts, expirations, refusals;
};

struct Owned {
    Home home;
    i64 state;      // the policy's
    i64 conflicts;  // evictions while the region was not full
    u32 ghost;      // of this lane: the ghost at its place, 0 for none
    // Of this lane's way:
    i32 way;  // -1 for a lane without one
    i64 word, ident, meta, deadline, cost;
    bool live, guess, pinned, is_new;
    i64 old_meta;
};

DEVICE i32 way_of_lane(i32 lane) { return lane / PARTS * WAYS_PER_LINE + lane % PARTS; }

DEVICE Owned load_set(const Table& table, i64 index) {
    const i32 lane = lane_number(), part = lane % PARTS;
    Owned set = {};
    set.home = home_at(table, index);
    const u8* record = record_at(table, set.home.number);
    set.word = line_at(table, set.home.number, 0)[lane];
    const i64 flags = __shfl_sync(WARP, set.word, lane | FLAGS_PART);
    set.way = part < FLAGS_PART && way_of_lane(lane) < set.home.ways ? way_of_lane(lane) : -1;
    set.live = set.way >= 0 && (flags >> part & 1);
    set.state = load_state(record);
    set.conflicts = *(const u32*)(record + CONFLICTS);
    if (HAS_GHOSTS && lane < WAYS) set.ghost = ((const u16*)(record + GHOSTS))[lane];
    if (set.way >= 0 && table.pins != 0) set.pinned = table.pins[set.home.slot + set.way] > 0;
    if (!set.live) return set;
    const i64 hot = flags >> (8 * part + 8) & 0xff;
    set.guess = (hot & GUESS) != 0;
    set.meta = set.old_meta = (hot & HOT) | load_column(record, set.way) << HOT_BITS;
    if (table.deadlines != 0) set.deadline = table.deadlines[set.home.slot + set.way];
    if (table.costs != 0) set.cost = table.costs[set.home.slot + set.way];
    if (HAS_IDENTS) set.ident = table.idents[set.home.slot + set.way];
    return set;
}

DEVICE void store_set(const Table& table, const Owned& set) {
    const i32 lane = lane_number(), line = lane / PARTS, part = lane % PARTS;
    const i64 number = set.home.number, slot = set.home.slot + set.way;
    u8* record = record_at(table, number);
    const u32 live = lanes_where(set.live) >> (PARTS * line) & 0x7f;
    const u32 ends = lanes_where(set.live && set.deadline != 0) >> (PARTS * line) & 0x7f;
    if (part == FLAGS_PART)
        *(u8*)&line_at(table, number, line)[part] = u8(live | (ends != 0) << DEADLINE_BIT);
    if (HAS_GHOSTS && lane < WAYS) ((u16*)(record + GHOSTS))[lane] = u16(set.ghost);
    if (lane == 0) {
        store_state(record, set.state);
        *(u32*)(record + CONFLICTS) = u32(set.conflicts);
    }
    if (set.is_new && set.live) {
        line_at(table, number, line)[part] = set.word;
        if (table.deadlines != 0) table.deadlines[slot] = set.deadline;
        if (table.costs != 0) table.costs[slot] = set.cost;
        if (HAS_IDENTS) table.idents[slot] = set.ident;
    }
    if (set.live && (set.is_new || set.meta != set.old_meta)) {
        *hot_at(table, number, set.way) = u8((set.meta & HOT) | (set.guess ? GUESS : 0));
        store_column(record, set.way, set.meta >> HOT_BITS);
    }
}

// ---------------------------------------------------------------- what a warp knows together

DEVICE i64 sum_of_lanes(i64 value) {
    for (i32 apart = 16; apart > 0; apart >>= 1)
        value = sum(value, __shfl_xor_sync(WARP, value, apart));
    return value;
}

// The lane with the lowest rank among some, ties by lowest lane.
DEVICE i32 lowest_ranked(u32 among, i64 rank) {
    const bool takes_part = among >> lane_number() & 1;
    const u32 high = u32(u64(rank) >> 32) ^ 0x80000000u, low = u32(rank);
    const u32 least = __reduce_min_sync(WARP, takes_part ? high : WARP);
    const bool is_least = takes_part && high == least;
    const u32 lowest_low = __reduce_min_sync(WARP, is_least ? low : WARP);
    return lowest(lanes_where(is_least && low == lowest_low));
}

// The first of some ways from a home line on, around the set.
DEVICE i32 first_from(i32 line, u32 lanes) {
    const u32 after = lanes & (WARP << (PARTS * line));
    return lowest(after != 0 ? after : lanes);
}

// ---------------------------------------------------------------- ghosts, newest first

// Take the newest ghost of a fingerprint out; return its tag and place as `on_insert` takes them.
DEVICE i64 take_ghost(Owned& set, u32 fingerprint) {
    if (!HAS_GHOSTS) return 0;
    const u32 mask = (1u << FINGERPRINT_BITS) - 1;
    const i32 place = lowest(lanes_where(set.ghost != 0 && (set.ghost & mask) == fingerprint));
    if (place < 0) return 0;
    const u32 taken = __shfl_sync(WARP, set.ghost, place);
    const u32 older = __shfl_down_sync(WARP, set.ghost, 1);
    if (lane_number() >= place) set.ghost = lane_number() < WAYS - 1 ? older : 0;
    return i64(taken >> FINGERPRINT_BITS) | i64(place) << TAG_BITS;
}

DEVICE void add_ghost(Owned& set, u32 ghost) {
    const u32 newer = __shfl_up_sync(WARP, set.ghost, 1);
    set.ghost = lane_number() == 0 ? ghost : lane_number() < WAYS ? newer : 0;
}

// ---------------------------------------------------------------- room

// How many ways of each of a region's sets an entry may take, to batch.found.
KERNEL(count_room) {
    for (i64 index = warp_number(); index < table.sets; index += warps_in_grid()) {
        const Owned set = load_set(table, index);
        const i32 room = __popc(lanes_where(set.way >= 0 && !set.live && !set.pinned));
        if (lane_number() == 0) batch.found[index] = u8(room);
    }
}
