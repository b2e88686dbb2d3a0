// From one table to another. `rank_ways` says in which order a set's entries would leave. To move
// some keys, `lift` copies what the older table holds of them, the newer one inserts it, `leave`
// takes it out of the older one, and `count_conflicts` counts what one position after the other
// would have.

// How many of its set would leave after this lane's entry: guesses leave first, then what ranks
// lowest, ties by lowest way.
DEVICE i32 level_of(const Table& table, const Owned& set, i64 tick) {
    const i64 total = HAS_TALLY ? sum_of_lanes(set.live ? policy_tally(set.meta) : 0) : 0;
    const i64 mine = policy_rank(set.meta, tick, set.state, total, table.parameters);
    const u32 live = lanes_where(set.live), guesses = lanes_where(set.guess);
    i32 level = 0;
    for (i32 lane = 0; lane < 32; lane++) {
        const i64 rank = __shfl_sync(WARP, mine, lane);
        const bool guess = guesses >> lane & 1;
        const bool is_later = rank != mine ? rank > mine : lane > lane_number();
        level += (live >> lane & 1) && (guess != set.guess ? set.guess : is_later);
    }
    return level;
}

// The level of every entry of a region to batch.levels, a column over its slots.
KERNEL(rank_ways) {
    for (i64 index = warp_number(); index < table.sets; index += warps_in_grid()) {
        const Owned set = load_set(table, index);
        const i32 level = level_of(table, set, batch.tick);
        if (set.live) batch.levels[set.home.slot + set.way - table.first_slot] = u8(level);
    }
}

// What the table holds of the keys to batch.values, deadlines, costs and guesses; a veto for what
// is not there, or is over.
KERNEL(lift) {
    const i32 part = lane_number() % PARTS;
    for (i64 first = warp_number() * 4; first < batch.n; first += warps_in_grid() * 4) {
        const i64 i = first + lane_number() / PARTS;
        const bool is_real = i < batch.n;
        const Found found = find(table, batch, i, is_real);
        const bool moves = found.slot >= 0 && !is_over(found.deadline, batch.now);
        if (ROW_BYTES && moves)
            copy_row(batch.values + i * ROW_BYTES, table.values + found.slot * ROW_BYTES, part,
                     PARTS);
        if (part != 0 || !is_real) continue;
        batch.veto[i] = !moves;
        if (!moves) continue;
        batch.guesses[i] = (*hot_at(table, found.home.number, found.way) & GUESS) != 0;
        if (batch.deadlines != 0) batch.deadlines[i] = found.deadline;
        if (batch.costs != 0) batch.costs[i] = table.costs != 0 ? table.costs[found.slot] : 0;
    }
}

// Take out of the table what the newer one has stored; the rest leaves for good: for want of room
// there, or because it is over.
KERNEL(leave) {
    const i32 part = lane_number() % PARTS;
    i64 moved = 0, evicted = 0, expired = 0;
    for (i64 first = warp_number() * 4; first < batch.n; first += warps_in_grid() * 4) {
        const i64 i = first + lane_number() / PARTS;
        const bool is_real = i < batch.n && batch.last[i] == i;
        const i64 word = is_real ? batch.words[i] : 0;
        const Found found = find(table, batch, i, is_real);
        const bool leaves = found.slot >= 0, moves = leaves && batch.status[i] == INSERTED;
        const bool is_late = leaves && is_over(found.deadline, batch.now);
        if (leaves) take_off(table, batch, found, i, word, is_late ? EXPIRED : EVICTED, !moves);
        moved += __popc(lanes_where(part == 0 && moves));
        expired += __popc(lanes_where(part == 0 && is_late));
        evicted += __popc(lanes_where(part == 0 && leaves && !moves && !is_late));
    }
    if (lane_number() != 0) return;
    add(&table.counters[SIZE], -moved - evicted - expired);
    add(&table.counters[INSERTIONS], -moved);
    add(&table.counters[EVICTIONS], evicted);
    add(&table.counters[EXPIRATIONS], expired);
    add(&batch.carried[0], moved);
    add(&batch.carried[1], evicted);
}

DEVICE bool took(const Batch& batch, i64 i, u8 what) {
    return i < batch.n && batch.last[i] == i && batch.status[i] == INSERTED &&
           batch.taken[i] == what;
}

KERNEL(count_taken) {
    for (i64 piece = warp_number(); piece * PIECE < batch.n; piece += warps_in_grid()) {
        i64 count = 0;
        for (i64 at = 0; at < PIECE; at += 32)
            count += __popc(lanes_where(took(batch, piece * PIECE + at + lane_number(), FREE)));
        if (lane_number() == 0) batch.sums[piece] = count;
    }
}

// Count the evictions of a batch that came while the region was not full.
KERNEL(count_conflicts) {
    const u32 before_me = (1u << lane_number()) - 1;
    i64 conflicts = 0;
    for (i64 piece = warp_number(); piece * PIECE < batch.n; piece += warps_in_grid()) {
        i64 size = 0;
        for (i64 at = lane_number(); at < piece; at += 32) size += batch.sums[at];
        size = sum_of_lanes(size) + table.state[SIZE_BEFORE];
        for (i64 at = 0; at < PIECE; at += 32) {
            const i64 i = piece * PIECE + at + lane_number();
            const u32 more = lanes_where(took(batch, i, FREE));
            const i64 then = size + __popc(more & before_me);
            const bool is_conflict = took(batch, i, FOR_ANOTHER) && then < table.capacity;
            if (is_conflict) {
                const Home home = home_of(table, mix(batch.words[i], table.seed));
                atomicAdd((u32*)(record_at(table, home.number) + CONFLICTS), 1u);
            }
            conflicts += __popc(lanes_where(is_conflict));
            size += __popc(more);
        }
    }
    if (lane_number() == 0) add(&table.counters[CONFLICTS_COUNT], conflicts);
}

// Have every set's entries come in anew, under another policy, in the order of batch.levels, in
// which they would have left; into a set without state or ghosts.
KERNEL(settle) {
    for (i64 index = warp_number(); index < table.sets; index += warps_in_grid()) {
        Owned set = load_set(table, index);
        const i32 held = __popc(lanes_where(set.live));
        const i64 slot = set.home.slot + set.way - table.first_slot;
        const i32 level = set.live ? batch.levels[slot] : -1;
        const i64 tick = batch.tick + i64(WAYS) * set.home.number;
        i64 total = 0;
        set.state = 0;
        for (i32 place = 0; place < held; place++) {
            const i32 lane = lowest(lanes_where(level == held - 1 - place));
            const u64 hashed = mix(__shfl_sync(WARP, set.word, lane), table.seed);
            const Several<2> fresh = policy_on_insert(tick + place, frequency_of(table, hashed), 0,
                                                      set.state, total, table.parameters);
            set.state = fresh.at[1] & SET_MASK;
            if (lane_number() == lane)
                set.meta = meta_with_value(fresh.at[0] & SLOT_MASK, set.cost, table.parameters);
            const i64 meta = __shfl_sync(WARP, set.meta, lane);
            if (HAS_TALLY) total += policy_tally(meta);
        }
        set.ghost = 0;
        store_set(table, set);
    }
}
