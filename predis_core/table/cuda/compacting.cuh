// The positions of misses, in their order. Each warp has a piece of the batch: the first kernel
// counts each piece's misses, the second begins where those before it end.

DEVICE bool is_miss(const Batch& batch, i64 i) { return i < batch.n && !batch.found[i]; }

KERNEL(count_misses) {
    for (i64 piece = warp_number(); piece * PIECE < batch.n; piece += warps_in_grid()) {
        i64 count = 0;
        for (i64 at = 0; at < PIECE; at += 32)
            count += __popc(lanes_where(is_miss(batch, piece * PIECE + at + lane_number())));
        if (lane_number() == 0) batch.sums[piece] = count;
    }
}

// Positions to batch.slots, as many as batch.missed then says.
KERNEL(list_misses) {
    const u32 before_me = (1u << lane_number()) - 1;
    for (i64 piece = warp_number(); piece * PIECE < batch.n; piece += warps_in_grid()) {
        i64 place = 0;
        for (i64 at = lane_number(); at < piece; at += 32) place += batch.sums[at];
        place = sum_of_lanes(place);
        for (i64 at = 0; at < PIECE; at += 32) {
            const i64 i = piece * PIECE + at + lane_number();
            const u32 misses = lanes_where(is_miss(batch, i));
            if (is_miss(batch, i)) batch.slots[place + __popc(misses & before_me)] = i;
            place += __popc(misses);
        }
        if (lane_number() == 0 && (piece + 1) * PIECE >= batch.n) *batch.missed = place;
    }
}
