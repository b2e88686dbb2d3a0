// The lookups of sampled keys, into a ring, in the order of positions. As for misses, the first
// kernel counts those of each piece of a batch, and the second begins where those before it end.

DEVICE bool is_sampled(const Table& table, const Batch& batch, i64 i) {
    if (i >= batch.n) return false;
    const u64 hashed = mix(batch.words[i], table.seed);
    return i64(hashed >> SAMPLE_SHIFT & (SAMPLE_SPACE - 1)) < table.sample_below;
}

KERNEL(count_sampled) {
    for (i64 piece = warp_number(); piece * PIECE < batch.n; piece += warps_in_grid()) {
        i64 count = 0;
        for (i64 at = 0; at < PIECE; at += 32) {
            const i64 i = piece * PIECE + at + lane_number();
            count += __popc(lanes_where(is_sampled(table, batch, i)));
        }
        if (lane_number() == 0) batch.sums[piece] = count;
    }
}

// Of more lookups than the ring has places, the last ones stay.
KERNEL(note_sampled) {
    const u32 before_me = (1u << lane_number()) - 1;
    i64 all = 0;
    for (i64 at = lane_number(); at * PIECE < batch.n; at += 32) all += batch.sums[at];
    all = sum_of_lanes(all);
    for (i64 piece = warp_number(); piece * PIECE < batch.n; piece += warps_in_grid()) {
        i64 before = 0;
        for (i64 at = lane_number(); at < piece; at += 32) before += batch.sums[at];
        before = sum_of_lanes(before);
        for (i64 at = 0; at < PIECE; at += 32) {
            const i64 i = piece * PIECE + at + lane_number();
            const bool noted = is_sampled(table, batch, i);
            const u32 some = lanes_where(noted);
            const i64 number = before + __popc(some & before_me);
            if (noted && number + table.samples_mask + 1 >= all) {
                i64* entry = table.samples + 2 * ((*table.sampled + number) & table.samples_mask);
                entry[0] = batch.words[i];
                entry[1] = batch.tick << 1 | (batch.found[i] != 0);
            }
            before += __popc(some);
        }
    }
}

// Say that they are there.
KERNEL(settle_sampled) {
    i64 all = 0;
    for (i64 at = thread_number(); at * PIECE < batch.n; at += threads_in_grid())
        all += batch.sums[at];
    add(table.sampled, all);
}
