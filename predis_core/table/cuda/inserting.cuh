// The insert. `unite` finds the last position of each key, `order` says which set each belongs to;
// once sorted, a warp takes all of a set's keys in the order of their positions, and `spread` gives
// the outcome of the last position to the others of its key.

// ---------------------------------------------------------------- equal keys of a batch

DEVICE i64 place_of(const Table& table, const Batch& batch, i64 i) {
    return i64(mix(batch.words[i], table.seed)) & batch.places_mask;
}

DEVICE bool are_same_keys(const Batch& batch, i64 a, i64 b) {
    if (batch.words[a] != batch.words[b]) return false;
    return !HAS_IDENTS || batch.idents[a] == batch.idents[b];
}

// Find for each key of the batch its last position, or its first, in a table of positions + 1.
KERNEL(unite) {
    for (i64 i = thread_number(); i < batch.n; i += threads_in_grid()) {
        const u32 mine = u32(i + 1);
        for (i64 place = place_of(table, batch, i);; place = (place + 1) & batch.places_mask) {
            const u32 held = atomicCAS(&batch.places[place], 0u, mine);
            if (held == 0) break;
            if (!are_same_keys(batch, held - 1, i)) continue;
            if (batch.mode & FIRST)
                atomicMin(&batch.places[place], mine);
            else
                atomicMax(&batch.places[place], mine);
            break;
        }
    }
}

// The position that `unite` has found for the key at a position.
DEVICE i64 united(const Table& table, const Batch& batch, i64 i) {
    i64 place = place_of(table, batch, i);
    while (!are_same_keys(batch, batch.places[place] - 1, i))
        place = (place + 1) & batch.places_mask;
    return batch.places[place] - 1;
}

KERNEL(order) {
    for (i64 i = thread_number(); i < batch.n; i += threads_in_grid()) {
        const i64 last = united(table, batch, i);
        const u64 index = __umul64hi(mix(batch.words[i], table.seed), u64(table.sets));
        batch.last[i] = u32(last);
        batch.order[i] = last == i ? index << 32 | u64(i) : ~0ull;
    }
    if (thread_number() != 0) return;
    table.state[SIZE_BEFORE] = table.counters[SIZE];
    table.state[WAS_FULL] = table.counters[SIZE] >= table.capacity;
}

KERNEL(spread) {
    for (i64 i = thread_number(); i < batch.n; i += threads_in_grid()) {
        const i64 last = batch.last[i];
        if (last == i) continue;
        batch.status[i] = batch.status[last];
        batch.slots[i] = batch.slots[last];
    }
}

// ---------------------------------------------------------------- one key into its set

// A position of the batch on its way into a set; the same in every lane.
struct Placing {
    i64 i, tick, word, ident;
    u64 hashed;
    i32 line;
    u32 fingerprint;
    i32 left;  // entries that left for it
    bool guess;
};

// What the way was that an entry took, where the batch comes from another table.
constexpr u8 NOTHING = 0, FREE = 1, FOR_ANOTHER = 2;

// Write down that the entry of a lane leaves, if anybody asked.
DEVICE void log_entry(const Table& table, const Batch& batch, const Owned& set, Placing& placing,
                      i32 lane, u8 reason) {
    if (batch.reasons == 0) return;
    const i64 at = placing.i * 2 + placing.left++;
    if (lane_number() == lane) {
        batch.reasons[at] = reason + 1;
        batch.held[at] = set.word;
        if (HAS_IDENTS) batch.whose[at] = set.ident;
        batch.spent[at] = set.cost;
    }
    const i64 slot = set.home.slot + way_of_lane(lane);
    if (ROW_BYTES)
        copy_row(batch.rows + at * ROW_BYTES, table.values + slot * ROW_BYTES, lane_number(), 32);
}

DEVICE void take_out(const Table& table, const Batch& batch, Owned& set, Placing& placing, i32 lane,
                     u8 reason, Counts& counts) {
    log_entry(table, batch, set, placing, lane, reason);
    if (lane_number() == lane) set.live = false;
    counts.size--;
}

DEVICE void put_in(const Table& table, const Batch& batch, Owned& set, const Placing& placing,
                   i32 lane) {
    if (lane_number() == lane) {
        set.word = placing.word;
        set.ident = placing.ident;
        set.deadline = batch.deadlines != 0 ? batch.deadlines[placing.i] : 0;
        set.cost = batch.costs != 0 ? batch.costs[placing.i] : 0;
        set.guess = placing.guess;
        set.live = set.is_new = true;
    }
    const i64 slot = set.home.slot + way_of_lane(lane);
    const u8* row = batch.values + placing.i * ROW_BYTES;
    if (ROW_BYTES) copy_row(table.values + slot * ROW_BYTES, row, lane_number(), 32);
    if (lane_number() == 0) batch.slots[placing.i] = slot;
}

// The policy's victim among some ways that are not guesses.
DEVICE i32 choose(const Table& table, const Owned& set, u32 among, i64 rank) {
    if (!HAS_SEGMENT) return lowest_ranked(among, rank);
    const u32 ones = lanes_where(policy_segment(set.meta) & 1) & among;
    const i32 zero = lowest_ranked(among & ~ones, rank), one = lowest_ranked(ones, rank);
    if (zero < 0 || one < 0) return zero < 0 ? one : zero;
    const u64 hashed = mix(set.word, table.seed);
    const i64 frequency_0 = frequency_of(table, __shfl_sync(WARP, hashed, zero));
    const i64 frequency_1 = frequency_of(table, __shfl_sync(WARP, hashed, one));
    return policy_admit(frequency_0, frequency_1) & 1 ? one : zero;
}

// Choose who leaves among some ways, all guesses or none, and tell the policy unless it is one.
DEVICE i32 depart(const Table& table, Owned& set, u32 among, bool silently, i64 tick, i64 total) {
    const i64 rank = policy_rank(set.meta, tick, set.state, total, table.parameters);
    if (silently) return lowest_ranked(among, rank);
    const i32 victim = choose(table, set, among, rank);
    const i64 meta = __shfl_sync(WARP, set.meta, victim);
    const u64 hashed = mix(__shfl_sync(WARP, set.word, victim), table.seed);
    const i64 passes = policy_passes(meta, tick, set.state, total, table.parameters);
    if (passes & 1 && set.live && lane_number() != victim)
        set.meta =
            policy_on_pass(set.meta, meta, tick, set.state, total, table.parameters) & SLOT_MASK;
    const Several<2> left = policy_on_evict(meta, tick, set.state);
    set.state = left.at[0] & SET_MASK;
    const u32 tag = u32(left.at[1]) & ((1 << TAG_BITS) - 1);
    if (HAS_GHOSTS && tag != 0)
        add_ghost(set, tag << FINGERPRINT_BITS | home_of(table, hashed).fingerprint);
    return victim;
}

DEVICE u8 place(const Table& table, const Batch& batch, Owned& set, Placing& placing, i32 own,
                Counts& counts) {
    const i64 total = HAS_TALLY ? sum_of_lanes(set.live ? policy_tally(set.meta) : 0) : 0;
    const u32 live = lanes_where(set.live), guesses = lanes_where(set.live && set.guess);
    const u32 pinned = lanes_where(set.pinned), open = lanes_where(set.way >= 0) & ~live & ~pinned;
    const u32 over = lanes_where(set.live && is_over(set.deadline, batch.now)) & ~pinned;
    const u32 silent = guesses & ~pinned;
    i32 lane = -1;
    u32 leaving = 0;
    if (placing.guess && __popc(guesses) >= set.home.ways / GUESS_SHARE)
        leaving = silent;
    else if (own >= 0)
        lane = own;
    else if (open != 0)
        lane = first_from(placing.line, open);
    else if (over != 0)
        lane = first_from(placing.line, over);
    else
        leaving = silent != 0 && !placing.guess ? silent : live & ~guesses & ~pinned;
    if (lane < 0 && leaving == 0) {
        counts.refusals++;
        return REFUSED;
    }
    const i64 tag = take_ghost(set, placing.fingerprint);
    const i64 frequency = frequency_of(table, placing.hashed);
    const Several<2> fresh =
        policy_on_insert(placing.tick, frequency, tag, set.state, total, table.parameters);
    set.state = fresh.at[1] & SET_MASK;
    if (lane < 0) {
        lane = depart(table, set, leaving, (leaving & guesses) != 0, placing.tick, total);
        take_out(table, batch, set, placing, lane, EVICTED, counts);
        const bool is_conflict = batch.carried == 0 && !table.state[WAS_FULL];
        counts.evictions++;
        counts.conflicts += is_conflict;
        set.conflicts += is_conflict;
    } else if (live >> lane & 1) {
        take_out(table, batch, set, placing, lane, EXPIRED, counts);
        counts.expirations++;
    }
    put_in(table, batch, set, placing, lane);
    if (lane_number() == lane)
        set.meta = meta_with_value(fresh.at[0] & SLOT_MASK, set.cost, table.parameters);
    counts.size++;
    counts.insertions++;
    if (batch.carried != 0 && lane_number() == 0)
        batch.taken[placing.i] = leaving != 0 ? FOR_ANOTHER : live >> lane & 1 ? NOTHING : FREE;
    return INSERTED;
}

DEVICE u8 update(const Table& table, const Batch& batch, Owned& set, Placing& placing, i32 own,
                 Counts& counts) {
    if (lane_number() == own && set.guess)
        set.meta = replayed_meta(table, placing.hashed, placing.tick, set.state);
    else if (lane_number() == own)
        set.meta = meta_after_hit(set.meta, placing.tick, set.state, table.parameters);
    log_entry(table, batch, set, placing, own, REPLACED);
    put_in(table, batch, set, placing, own);
    if (lane_number() == own) set.meta = meta_with_value(set.meta, set.cost, table.parameters);
    counts.updates++;
    return UPDATED;
}

DEVICE u8 insert_one(const Table& table, const Batch& batch, Owned& set, Placing& placing,
                     Counts& counts) {
    if (lane_number() == 0) batch.slots[placing.i] = -1;
    if (batch.veto != 0 && batch.veto[placing.i]) return VETOED;
    const u32 mine = lanes_where(set.live && set.word == placing.word &&
                                 (!HAS_IDENTS || set.ident == placing.ident));
    const bool is_late = lanes_where(set.live && is_over(set.deadline, batch.now)) & mine;
    i32 own = lowest(mine);
    if (own >= 0 && !is_late && (batch.mode & ABSENT_ONLY)) {
        if (lane_number() == 0) batch.slots[placing.i] = set.home.slot + way_of_lane(own);
        return PRESENT;
    }
    if (is_late) {
        take_out(table, batch, set, placing, own, EXPIRED, counts);
        counts.expirations++;
        if (lanes_where(set.pinned) & mine) own = -1;
    }
    if (placing.guess && set.home.ways < GUESS_SHARE) {
        counts.refusals++;
        return REFUSED;
    }
    if (own >= 0 && !is_late) return update(table, batch, set, placing, own, counts);
    return place(table, batch, set, placing, own, counts);
}

KERNEL(insert) {
    Counts counts = {};
    for (i64 at = warp_number(); at < batch.n; at += warps_in_grid()) {
        const u64 index = batch.order[at] >> 32;
        if (index == 0xffffffffu) break;  // these are positions of keys that come later as well
        if (at > 0 && batch.order[at - 1] >> 32 == index) continue;
        Owned set = load_set(table, i64(index));
        for (i64 next = at; next < batch.n && batch.order[next] >> 32 == index; next++) {
            const i64 i = i64(batch.order[next] & 0xffffffffu), word = batch.words[i];
            const u64 hashed = mix(word, table.seed);
            const Home home = home_of(table, hashed);
            const bool guess = batch.mode & GUESSED || (batch.guesses != 0 && batch.guesses[i]);
            const i64 ident = HAS_IDENTS ? batch.idents[i] : 0;
            Placing placing = {i, batch.tick + i, word, ident, hashed, home.line,
                               home.fingerprint, 0, guess};
            const u8 status = insert_one(table, batch, set, placing, counts);
            if (lane_number() == 0) batch.status[i] = status;
        }
        store_set(table, set);
    }
    if (lane_number() != 0) return;
    add(&table.counters[SIZE], counts.size);
    add(&table.counters[INSERTIONS], counts.insertions);
    add(&table.counters[UPDATES], counts.updates);
    add(&table.counters[EVICTIONS], counts.evictions);
    add(&table.counters[CONFLICTS_COUNT], counts.conflicts);
    add(&table.counters[EXPIRATIONS], counts.expirations);
    if (batch.carried == 0)
        add(&table.counters[REFUSALS], counts.refusals);
    else
        add(&batch.carried[1], counts.evictions);
}

// ---------------------------------------------------------------- removing

// Take an entry out that the eight lanes of a key have found; write it down if anybody asked.
DEVICE void take_off(const Table& table, const Batch& batch, const Found& found, i64 i, i64 word,
                     u8 reason, bool is_noted) {
    const i32 part = lane_number() % PARTS;
    if (is_noted && batch.reasons != 0) {
        const i64 at = i * 2;
        if (part == 0) {
            batch.reasons[at] = reason + 1;
            batch.held[at] = word;
            batch.spent[at] = table.costs != 0 ? table.costs[found.slot] : 0;
        }
        if (ROW_BYTES)
            copy_row(batch.rows + at * ROW_BYTES, table.values + found.slot * ROW_BYTES, part,
                     PARTS);
    }
    if (part != 0) return;
    i64* line = line_at(table, found.home.number, found.way / WAYS_PER_LINE);
    atomicAnd((u32*)(line + FLAGS_PART), ~(1u << found.way % WAYS_PER_LINE));
}

// Remove the key of each position that `unite` names for it.
KERNEL(remove) {
    const i32 part = lane_number() % PARTS;
    i64 deleted = 0, expired = 0;
    for (i64 first = warp_number() * 4; first < batch.n; first += warps_in_grid() * 4) {
        const i64 i = first + lane_number() / PARTS;
        const bool is_real = i < batch.n;
        const i64 word = is_real ? batch.words[i] : 0;
        const Found found = find(table, batch, i, is_real && united(table, batch, i) == i);
        const bool leaves = found.slot >= 0, is_late = leaves && is_over(found.deadline, batch.now);
        if (part == 0 && is_real) batch.found[i] = leaves && !is_late;
        if (leaves) take_off(table, batch, found, i, word, is_late ? EXPIRED : DELETED, true);
        deleted += __popc(lanes_where(part == 0 && leaves && !is_late));
        expired += __popc(lanes_where(part == 0 && is_late));
    }
    if (lane_number() != 0) return;
    add(&table.counters[SIZE], -deleted - expired);
    add(&table.counters[DELETIONS], deleted);
    add(&table.counters[EXPIRATIONS], expired);
}

KERNEL(clear) {
    const i32 lane = lane_number(), part = lane % PARTS;
    i64 left = 0;
    for (i64 index = warp_number(); index < table.sets; index += warps_in_grid()) {
        const Home home = home_at(table, index);
        u8* flags = (u8*)&line_at(table, home.number, lane / PARTS)[part];
        u8* record = record_at(table, home.number);
        const i32 live = part == FLAGS_PART ? __popc(*flags & 0x7f) : 0;
        left += __reduce_add_sync(WARP, live);
        if (part == FLAGS_PART) *flags = 0;
        if (lane == 0) store_state(record, 0);
        if (HAS_GHOSTS && lane < WAYS) ((u16*)(record + GHOSTS))[lane] = 0;
    }
    if (lane != 0) return;
    add(&table.counters[SIZE], -left);
    add(&table.counters[DELETIONS], left);
}
