// The count-min sketch: read as it was when a batch began, counted in when the batch is done.

DEVICE i64 cell_of(const Table& table, u64 hashed, i32 row) {
    const u64 multiplier = row == 0   ? SKETCH_MULTIPLIER_0
                           : row == 1 ? SKETCH_MULTIPLIER_1
                           : row == 2 ? SKETCH_MULTIPLIER_2
                                      : SKETCH_MULTIPLIER_3;
    return (i64(row) << table.sketch_bits) + i64(hashed * multiplier >> (64 - table.sketch_bits));
}

DEVICE i64 frequency_of(const Table& table, u64 hashed) {
    i64 found = MAX_FREQUENCY;
    for (i32 row = 0; HAS_SKETCH && row < SKETCH_ROWS; row++)
        found = lesser(found, table.sketch[cell_of(table, hashed, row)]);
    return HAS_SKETCH ? found : 0;
}

DEVICE void count_up(u8* sketch, i64 cell) {
    u32* word = (u32*)sketch + (cell >> 2);
    const i32 shift = 8 * i32(cell & 3);
    u32 seen = *word;
    while (((seen >> shift) & 0xff) < MAX_FREQUENCY) {
        const u32 held = atomicCAS(word, seen, seen + (1u << shift));
        if (held == seen) return;
        seen = held;
    }
}

// Count the positions that were found, or, where a batch was stored, those of it that were.
KERNEL(count_in_sketch) {
    i32 counted = 0;
    for (i64 i = thread_number(); i < batch.n; i += threads_in_grid()) {
        bool counts = batch.found != 0 && batch.found[i];
        if (batch.status != 0) {
            const u8 status = batch.status[i];
            counts = batch.last[i] == i && (status == INSERTED || status == UPDATED);
        }
        if (!counts) continue;
        const u64 hashed = mix(batch.words[i], table.seed);
        for (i32 row = 0; row < SKETCH_ROWS; row++)
            count_up(table.sketch, cell_of(table, hashed, row));
        counted++;
    }
    counted = __reduce_add_sync(WARP, counted);
    if (lane_number() == 0) add(&table.state[ADDITIONS], counted);
}

// Halve all counts if that many were counted; `settle_sketch` then says that this is done.
KERNEL(age_sketch) {
    if (table.state[ADDITIONS] < table.sketch_limit) return;
    const i64 words = i64(SKETCH_ROWS) << table.sketch_bits >> 2;
    for (i64 at = thread_number(); at < words; at += threads_in_grid())
        ((u32*)table.sketch)[at] = (((u32*)table.sketch)[at] >> 1) & 0x7f7f7f7fu;
}

KERNEL(settle_sketch) {
    if (thread_number() == 0 && table.state[ADDITIONS] >= table.sketch_limit)
        table.state[ADDITIONS] >>= 1;
}
