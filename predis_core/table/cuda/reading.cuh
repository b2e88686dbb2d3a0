// The verbs that move no entry. Eight lanes look one key up together: a line is one access of 64
// bytes, and most keys are in the first that is tried.

struct Found {
    Home home;
    i64 slot;  // -1 if the key is not there
    i64 deadline;
    i32 way;
};

// Whether a slot that has the word of a position has its key.
DEVICE bool is_same_key(const Table& table, const Batch& batch, i64 i, i64 slot) {
    return !HAS_IDENTS || batch.idents == 0 || table.idents[slot] == batch.idents[i];
}

// Find a position's key for every eight lanes of a whole warp, expired or not; nothing where not
// `wanted`. Of ways that have it, `skip` are passed over.
DEVICE Found find(const Table& table, const Batch& batch, i64 i, bool wanted, i64 skip = 0) {
    const i64 word = wanted ? batch.words[i] : 0;
    const i32 part = lane_number() % PARTS, first = lane_number() - part;
    Found found = {home_of(table, mix(word, table.seed)), -1, 0, -1};
    const Home& home = found.home;
    for (i32 step = 0; step < LINES; step++) {
        const bool looks = wanted && found.way < 0 && step < home.lines;
        if (lanes_where(looks) == 0) break;
        i32 line = home.line + step;
        line = line < home.lines ? line : line - home.lines;
        const i64 held = looks ? line_at(table, home.number, line)[part] : 0;
        const i64 flags = __shfl_sync(WARP, held, FLAGS_PART, PARTS);
        const i64 slot = home.slot + line * WAYS_PER_LINE + part;
        const bool same = looks && part < FLAGS_PART && held == word && (flags >> part & 1) &&
                          is_same_key(table, batch, i, slot);
        u32 matches = lanes_where(same) >> first & 0xff;
        for (; matches != 0 && skip > 0; skip--) matches &= matches - 1;
        if (matches == 0) continue;
        found.way = line * WAYS_PER_LINE + lowest(matches);
        found.slot = home.slot + found.way;
        if (flags >> DEADLINE_BIT & 1) found.deadline = table.deadlines[found.slot];
    }
    return found;
}

// Metadata of a guess that is used: as if it came in now, into a set that does not notice.
DEVICE i64 replayed_meta(const Table& table, u64 hashed, i64 tick, i64 state) {
    const i64 frequency = frequency_of(table, hashed);
    return policy_on_insert(tick, frequency, 0, state, 0, table.parameters).at[0] & SLOT_MASK;
}

// Note the use of an entry once per batch, by one thread for each position that found it.
DEVICE void note_use(const Table& table, const Batch& batch, const Found& found, i64 word) {
    if (table.claims != 0) {
        const u32 mine = u32(batch.claim);
        if (atomicExch(&table.claims[found.slot], mine) == mine) return;
    }
    u8* hot = hot_at(table, found.home.number, found.way);
    u8* record = record_at(table, found.home.number);
    const i64 old = *hot, state = load_state(record);
    if (old & GUESS) {
        const i64 fresh = replayed_meta(table, mix(word, table.seed), batch.tick, state);
        const i64 cost = table.costs != 0 ? table.costs[found.slot] : 0;
        const i64 meta = meta_with_value(fresh, cost, table.parameters);
        *hot = u8(meta & HOT);
        store_column(record, found.way, meta >> HOT_BITS);
    } else if (HAS_ON_HIT) {
        const bool is_wide = VISIBLE_BITS > HOT_BITS;
        const i64 meta = is_wide ? old | load_column(record, found.way) << HOT_BITS : old;
        const i64 changed = meta_after_hit(meta, batch.tick, state, table.parameters);
        if ((changed ^ meta) & HOT) *hot = u8(changed & HOT);
        if (is_wide && changed >> HOT_BITS != meta >> HOT_BITS)
            store_column(record, found.way, changed >> HOT_BITS);
    }
}

// Look up, note the use, copy rows to batch.values and slots to batch.slots if these are given, count.
KERNEL(lookup) {
    const i32 part = lane_number() % PARTS;
    i64 hits = 0, misses = 0;
    for (i64 first = warp_number() * 4; first < batch.n; first += warps_in_grid() * 4) {
        const i64 i = first + lane_number() / PARTS;
        const bool is_real = i < batch.n;
        const i64 word = is_real ? batch.words[i] : 0;
        const Found found = find(table, batch, i, is_real);
        const bool hit = found.slot >= 0 && !is_over(found.deadline, batch.now);
        if (part == 0 && hit) note_use(table, batch, found, word);
        if (part == 0 && is_real) {
            if (batch.slots != 0) batch.slots[i] = hit ? found.slot : -1;
            batch.found[i] = hit;
        }
        u8* row = batch.values + i * ROW_BYTES;
        if (ROW_BYTES && batch.values != 0 && hit)
            copy_row(row, table.values + found.slot * ROW_BYTES, part, PARTS);
        else if (ROW_BYTES && (batch.mode & ZEROED) && is_real)
            clear_row(row, part, PARTS);
        hits += __popc(lanes_where(part == 0 && hit));
        misses += __popc(lanes_where(part == 0 && is_real && !hit));
    }
    if (lane_number() == 0 && (batch.mode & COUNTED)) {
        add(&table.counters[HITS], hits);
        add(&table.counters[MISSES], misses);
    }
}

// Whether keys are there to batch.found, deadlines to batch.slots (0 for none, -1 without the key);
// to whichever is given.
KERNEL(peek) {
    for (i64 first = warp_number() * 4; first < batch.n; first += warps_in_grid() * 4) {
        const i64 i = first + lane_number() / PARTS;
        const bool is_real = i < batch.n;
        const Found found = find(table, batch, i, is_real);
        const bool hit = found.slot >= 0 && !is_over(found.deadline, batch.now);
        if (lane_number() % PARTS != 0 || !is_real) continue;
        if (batch.found != 0) batch.found[i] = hit;
        if (batch.slots != 0) batch.slots[i] = hit ? found.deadline : -1;
    }
}

// Slots of keys to batch.slots, expired or not, or -1; whether they have expired to batch.found.
KERNEL(locate) {
    for (i64 first = warp_number() * 4; first < batch.n; first += warps_in_grid() * 4) {
        const i64 i = first + lane_number() / PARTS;
        const bool is_real = i < batch.n;
        const i64 skip = HAS_IDENTS && is_real && batch.skips != 0 ? batch.skips[i] : 0;
        const Found found = find(table, batch, i, is_real, skip);
        if (lane_number() % PARTS != 0 || !is_real) continue;
        batch.slots[i] = found.slot;
        batch.found[i] = found.slot >= 0 && is_over(found.deadline, batch.now);
    }
}

// Pin entries once more for each position; their slots to batch.slots, or -1.
KERNEL(pin) {
    for (i64 first = warp_number() * 4; first < batch.n; first += warps_in_grid() * 4) {
        const i64 i = first + lane_number() / PARTS;
        const bool is_real = i < batch.n;
        const Found found = find(table, batch, i, is_real);
        const bool hit = found.slot >= 0 && !is_over(found.deadline, batch.now);
        if (lane_number() % PARTS != 0 || !is_real) continue;
        batch.slots[i] = hit ? found.slot : -1;
        if (hit) atomicAdd(&table.pins[found.slot], 1);
    }
}

KERNEL(unpin) {
    for (i64 i = thread_number(); i < batch.n; i += threads_in_grid())
        if (batch.slots[i] >= 0) atomicAdd(&table.pins[batch.slots[i]], -1);
}

// What a region's slots hold, to columns over these; those of free ones stay as they were.
KERNEL(unpack) {
    const i32 part = lane_number() % PARTS, line = lane_number() / PARTS;
    for (i64 index = warp_number(); index < table.sets; index += warps_in_grid()) {
        const Home home = home_at(table, index);
        const i64 held = line_at(table, home.number, line)[part];
        const i64 flags = __shfl_sync(WARP, held, FLAGS_PART, PARTS);
        if (part == FLAGS_PART || !(flags >> part & 1)) continue;
        const i32 way = line * WAYS_PER_LINE + part;
        const i64 hot = flags >> (8 * part + 8) & 0xff, slot = home.slot + way;
        const i64 above = load_column(record_at(table, home.number), way);
        const i64 at = slot - table.first_slot;
        batch.live[at] = 1;
        batch.held[at] = held;
        batch.metas[at] = (hot & HOT) | above << HOT_BITS;
        batch.guesses[at] = (hot & GUESS) != 0;
        batch.until[at] = table.deadlines != 0 ? table.deadlines[slot] : 0;
    }
}

// Rows of slots to batch.values.
KERNEL(gather) {
    const i32 part = lane_number() % PARTS;
    for (i64 i = thread_number() / PARTS; i < batch.n; i += threads_in_grid() / PARTS) {
        const u8* row = table.values + batch.slots[i] * ROW_BYTES;
        copy_row(batch.values + i * ROW_BYTES, row, part, PARTS);
    }
}
