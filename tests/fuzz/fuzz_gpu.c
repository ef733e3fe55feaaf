/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of a display on both its queues, in any order and any shape, with few ids so that they meet;
 * between them a queue stops, memory changes, a window gets another size, the driver resets. What the output
 * is told is checked: it reads all pixels that it may.
 */
#include "devices/display/virtio_gpu.h"
#include "devices/display/virtio_gpu_format.h"
#include "fuzz_ring.h"

#define SCANOUTS   3u
#define STEPS	   24u
#define ENTRIES	   64u
#define IDS	   4u
#define LARGE_SIDE 300u

#define REQUEST_AT (DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET)
#define ANSWER_AT  (REQUEST_AT + 8192)
#define BORDER	   (DRIVER_GUEST_BASE + DRIVER_REGION_BYTES)

static struct {
	struct virtio_gpu *device;
	struct ring_driver driver[2];
	struct virtqueue *queue[2];
	unsigned broken[2];
	struct virtio_gpu_picture *picture[SCANOUTS];
} world;

/* ---- the output ---- */

static void look_at(const struct virtio_gpu_picture *picture, const struct virtio_gpu_rect *rect)
{
	uint32_t sum = 0;

	for (uint32_t y = rect->y; y < rect->y + rect->height; y++) {
		const uint32_t *line = picture->pixels + y * picture->stride_bytes / sizeof(*line);

		for (uint32_t x = rect->x; x < rect->x + rect->width; x++)
			sum = sum * 31 + line[x];
	}
	fuzz_trace_number(sum);
}

static void on_show(void *context, unsigned scanout, struct virtio_gpu_picture *picture)
{
	assert(scanout < SCANOUTS);
	virtio_gpu_picture_put(world.picture[scanout]);
	world.picture[scanout] = picture ? virtio_gpu_picture_get(picture) : NULL;
	if (!picture)
		return;
	look_at(picture, &(struct virtio_gpu_rect){ 0, 0, picture->width, 1 });
	look_at(picture, &(struct virtio_gpu_rect){ 0, picture->height - 1, picture->width, 1 });
}

static void on_damage(void *context, unsigned scanout, const struct virtio_gpu_rect *rect)
{
	const struct virtio_gpu_picture *picture = world.picture[scanout];

	assert(picture && rect->width > 0 && rect->height > 0);
	assert(rect->width <= picture->width && rect->x <= picture->width - rect->width);
	assert(rect->height <= picture->height && rect->y <= picture->height - rect->height);
	look_at(picture, rect);
}

static void on_cursor(void *context, unsigned scanout, const struct virtio_gpu_cursor *cursor)
{
	assert(scanout < SCANOUTS);
	assert(cursor->hot_x < VIRTIO_GPU_CURSOR_SIDE && cursor->hot_y < VIRTIO_GPU_CURSOR_SIDE);
	fuzz_trace_number((uint64_t)cursor->x << 32 | (uint32_t)cursor->y);
	if (cursor->pixels)
		fuzz_trace(cursor->pixels, VIRTIO_GPU_CURSOR_SIDE * VIRTIO_GPU_CURSOR_SIDE * 4);
}

static void on_absent(void *context)
{
}

static const struct virtio_gpu_output_ops output = { on_show, on_damage, on_cursor, on_absent };

/* ---- numbers ---- */

/* Small, near a limit, or anything. */
static uint32_t number(struct fuzz_input *input)
{
	static const uint32_t limits[] = { 64, 8192, 8193, 1u << 16, 1u << 30, 1u << 31, UINT32_MAX };
	uint8_t choice = fuzz_byte(input);

	if (choice < 200)
		return choice % 100;
	if (choice < 240)
		return limits[choice % 7] - (choice & 8 ? fuzz_byte(input) : 0);
	return fuzz_u16(input) | (uint32_t)fuzz_u16(input) << 16;
}

static uint32_t id_of(struct fuzz_input *input)
{
	uint8_t choice = fuzz_byte(input);

	return choice == 0xff ? number(input) : choice % IDS;
}

/* Of a resource: mostly so that the usual rectangles fit, and now and then a cursor's, or one of several
 * turns. */
static uint32_t side_of(struct fuzz_input *input)
{
	uint8_t choice = fuzz_byte(input);

	if (choice >= 240)
		return number(input);
	if (choice >= 230)
		return LARGE_SIDE;
	return choice % 4 == 0 ? VIRTIO_GPU_CURSOR_SIDE : 16 + choice % 90;
}

static struct virtio_gpu_rect rect_of(struct fuzz_input *input)
{
	uint8_t choice = fuzz_byte(input);
	struct virtio_gpu_rect rect = { choice & 3, choice >> 2 & 3, 1 + (choice >> 4), 1 + (choice & 7) };

	if (choice == 0)
		return (struct virtio_gpu_rect){ 0, 0, VIRTIO_GPU_CURSOR_SIDE, VIRTIO_GPU_CURSOR_SIDE };
	if (choice == 1)
		return (struct virtio_gpu_rect){ 0, 0, LARGE_SIDE, LARGE_SIDE };
	if (choice < 240)
		return rect;
	rect.x = number(input);
	rect.y = number(input);
	rect.width = number(input);
	rect.height = number(input);
	return rect;
}

/* ---- commands ---- */

union command {
	struct virtio_gpu_header header;
	struct virtio_gpu_get_edid get_edid;
	struct virtio_gpu_create_2d create_2d;
	struct virtio_gpu_name_resource name;
	struct virtio_gpu_set_scanout set_scanout;
	struct virtio_gpu_flush flush;
	struct virtio_gpu_transfer transfer;
	struct {
		struct virtio_gpu_attach head;
		struct virtio_gpu_entry entry[ENTRIES];
	} attach;
	struct {
		struct virtio_gpu_create_blob head;
		struct virtio_gpu_entry entry[ENTRIES];
	} create_blob;
	struct virtio_gpu_set_scanout_blob set_scanout_blob;
	struct virtio_gpu_update_cursor cursor;
	uint8_t bytes[2048];
};

/* Returns how many the command says there are. */
static uint32_t make_entries(struct fuzz_input *input, struct virtio_gpu_entry *entries)
{
	static const uint64_t bases[] = { DRIVER_GUEST_BASE, BORDER - 4096, BORDER, 0, UINT64_MAX - 65535 };
	uint32_t count = fuzz_byte(input) % (ENTRIES + 2);
	uint32_t said = count > ENTRIES ? number(input) : count;

	for (uint32_t i = 0; i < count && i < ENTRIES; i++) {
		uint8_t choice = fuzz_byte(input);

		entries[i] = (struct virtio_gpu_entry){ bases[choice < 250 ? choice % 3 : choice % 5] +
								fuzz_u16(input),
							choice & 0x40 ? number(input) : fuzz_u16(input) };
	}
	return said;
}

static void make_attach(struct fuzz_input *input, union command *command)
{
	command->attach.head.resource_id = id_of(input);
	command->attach.head.entry_count = make_entries(input, command->attach.entry);
}

static void make_create_blob(struct fuzz_input *input, union command *command)
{
	struct virtio_gpu_create_blob *head = &command->create_blob.head;
	uint8_t choice = fuzz_byte(input);

	head->resource_id = id_of(input);
	head->memory = choice == 0xff ? number(input) : VIRTIO_GPU_BLOB_MEM_GUEST;
	head->flags = choice == 0xfe ? number(input) : choice & VIRTIO_GPU_BLOB_FLAGS;
	head->blob_id = choice;
	head->size_bytes = choice & 0x20 ? number(input) : fuzz_u16(input);
	head->size_bytes |= choice == 0xfd ? ~0ull << 32 : 0;
	head->entry_count = make_entries(input, command->create_blob.entry);
}

/* Mostly so that it fits into 64 KiB. */
static void make_view(struct fuzz_input *input, union command *command)
{
	struct virtio_gpu_set_scanout_blob *view = &command->set_scanout_blob;
	uint8_t choice = fuzz_byte(input);

	view->rect = rect_of(input);
	view->scanout_id = fuzz_byte(input) % (SCANOUTS + 1);
	view->resource_id = id_of(input);
	view->width = side_of(input);
	view->height = side_of(input);
	view->format = choice == 0xff ? number(input) : 1 + choice % 4;
	view->stride_bytes[0] = choice & 0x40 ? number(input) : view->width * 4 + (choice & 0x3f);
	view->offset_bytes[0] = choice & 0x80 ? number(input) : 0;
	view->stride_bytes[1] = view->offset_bytes[1] = choice;
}

static void make_create(struct fuzz_input *input, union command *command)
{
	static const uint8_t formats[] = { 1, 2, 3, 4, 67, 68, 121, 134 };
	uint8_t choice = fuzz_byte(input);

	command->create_2d.resource_id = id_of(input);
	command->create_2d.format = choice == 0xff ? number(input) : formats[choice % 8];
	command->create_2d.width = side_of(input);
	command->create_2d.height = side_of(input);
}

static void make_cursor(struct fuzz_input *input, union command *command)
{
	command->cursor.scanout_id = fuzz_byte(input) % (SCANOUTS + 1);
	command->cursor.x = (int32_t)number(input);
	command->cursor.y = (int32_t)number(input);
	command->cursor.resource_id = id_of(input);
	command->cursor.hot_x = number(input) % 70;
	command->cursor.hot_y = number(input) % 70;
}

static void make_rect_command(struct fuzz_input *input, union command *command)
{
	command->flush.rect = rect_of(input);
	if (command->header.type == VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D) {
		command->transfer.offset_bytes = number(input) | (fuzz_byte(input) == 0xff ? ~0ull << 32 : 0);
		command->transfer.resource_id = id_of(input);
	} else if (command->header.type == VIRTIO_GPU_CMD_SET_SCANOUT) {
		command->set_scanout.scanout_id = fuzz_byte(input) % (SCANOUTS + 1);
		command->set_scanout.resource_id = id_of(input);
	} else {
		command->flush.resource_id = id_of(input);
	}
}

static void make_command(struct fuzz_input *input, union command *command)
{
	static const uint32_t types[] = { 0x100, 0x101, 0x101, 0x102, 0x103, 0x103, 0x104, 0x104, 0x105,
					  0x105, 0x106, 0x106, 0x107, 0x10a, 0x300, 0x300, 0x301, 0x10c,
					  0x10c, 0x10d, 0x10d, 0x104, 0x10b };
	const unsigned type_count = sizeof(types) / sizeof(types[0]);
	uint8_t choice = fuzz_byte(input), flags = fuzz_byte(input);

	memset(command, 0, sizeof(*command));
	command->header = (struct virtio_gpu_header){ .type = types[choice % type_count],
						      .flags = flags & 3,
						      .fence_id = flags,
						      .ctx_id = flags,
						      .ring_idx = flags };
	switch (command->header.type) {
	case VIRTIO_GPU_CMD_RESOURCE_CREATE_2D:
		make_create(input, command);
		break;
	case VIRTIO_GPU_CMD_SET_SCANOUT:
	case VIRTIO_GPU_CMD_RESOURCE_FLUSH:
	case VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D:
		make_rect_command(input, command);
		break;
	case VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING:
		make_attach(input, command);
		break;
	case VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB:
		make_create_blob(input, command);
		break;
	case VIRTIO_GPU_CMD_SET_SCANOUT_BLOB:
		make_view(input, command);
		break;
	case VIRTIO_GPU_CMD_UPDATE_CURSOR:
	case VIRTIO_GPU_CMD_MOVE_CURSOR:
		make_cursor(input, command);
		break;
	default:
		command->name.resource_id = id_of(input);
		break;
	}
}

/* As most drivers do, or cut anywhere: three descriptors of the request, and what room there is. */
static void add_command(struct fuzz_input *input)
{
	union command command;
	uint8_t shape = fuzz_byte(input) >= 0xc0 ? fuzz_byte(input) : 0;
	uint16_t cut = shape & 1 ? fuzz_u16(input) % 64 : sizeof(command.header);
	uint32_t room = shape & 2 ? fuzz_u16(input) % 1100 : 1056;
	unsigned index;

	make_command(input, &command);
	index = (command.header.type >> 8 == 3) != !!(shape & 0x80 && shape & 0x40);
	{
		struct driver_element elements[] = {
			{ REQUEST_AT, cut, false },
			{ REQUEST_AT + cut, shape & 4 ? 0 : 40, false },
			{ REQUEST_AT + cut + 40, shape & 8 ? 16 : 2048, false },
			{ shape & 0x10 && shape & 0x20 ? UINT64_MAX - 8192 : ANSWER_AT, room, true },
		};

		memcpy(ring_driver_at(&world.driver[index], REQUEST_AT), &command, sizeof(command));
		ring_driver_add(&world.driver[index], elements, room > 0 ? 4 : 3,
				world.driver[index].features >> VIRTIO_RING_F_INDIRECT & 1);
	}
	ring_driver_kick(&world.driver[index]);
}

/* ---- queues ---- */

static bool start(unsigned index)
{
	struct virtqueue_setup setup = ring_driver_setup(&world.driver[index]);

	setup.loop = fuzz_loop;
	setup.index = index;
	setup.model = &virtio_gpu_model;
	setup.device = world.device;
	setup.broken = fuzz_broken;
	setup.context = &world.broken[index];
	return virtqueue_start(&setup, &world.queue[index]) == 0;
}

static void stop(unsigned index)
{
	if (world.queue[index])
		fuzz_stop(world.queue[index], NULL);
	world.queue[index] = NULL;
}

/* The ring begins anew, empty. */
static void restart(unsigned index)
{
	struct ring_driver *driver = &world.driver[index];
	uint64_t features = driver->features;
	unsigned size = driver->size;
	bool packed = driver->packed;

	stop(index);
	ring_driver_finish(driver);
	ring_driver_init(driver, packed, size, features);
	world.broken[index] = 0;
	start(index);
}

static void on_released(void *context)
{
	*(bool *)context = true;
}

static void change_memory(unsigned index)
{
	struct guest_memory *memory = ring_driver_map(&world.driver[index]);
	bool released = false;

	if (world.queue[index])
		virtqueue_set_memory(world.queue[index], memory, on_released, &released);
	else
		released = true;
	guest_memory_put(memory);
	/* A command that is under way does not hold it. */
	assert(released);
}

static void reset(void)
{
	stop(0);
	stop(1);
	virtio_gpu_model.reset(world.device);
	for (unsigned i = 0; i < SCANOUTS; i++)
		assert(!world.picture[i]);
	restart(0);
	restart(1);
}

/* ---- an input ---- */

/* The guest changes a request, maybe while it is under way. */
static void patch(struct fuzz_input *input, struct ring_driver *driver)
{
	uint64_t at = REQUEST_AT + fuzz_byte(input);

	for (unsigned left = fuzz_byte(input) % 64; left > 0 && input->left > 0; left--)
		*ring_driver_at(driver, at++) = fuzz_byte(input);
}

static void host_step(struct fuzz_input *input)
{
	uint8_t choice = fuzz_byte(input);
	uint32_t events = VIRTIO_GPU_EVENT_DISPLAY;

	switch (choice % 8) {
	case 0:
	case 1:
		restart(choice & 1);
		break;
	case 2:
	case 3:
		change_memory(choice & 1);
		break;
	case 4:
		reset();
		break;
	case 5:
		patch(input, &world.driver[choice >> 3 & 1]);
		break;
	case 6:
		virtio_gpu_set_size(world.device, choice >> 3 & 3, number(input), number(input),
				    choice & 0x80);
		break;
	default:
		virtio_gpu_model.config_write(world.device, 0, 4, &events, sizeof(events));
	}
}

static void collect(unsigned index)
{
	uint32_t length;

	while (!world.broken[index] && ring_driver_take(&world.driver[index], &length) >= 0)
		fuzz_trace_number(length);
}

static void begin(struct fuzz_input *input)
{
	const struct virtio_gpu_options options = { .scanouts = SCANOUTS,
						    .pixel_bytes_max = 2u << 20,
						    .resources_max = IDS,
						    .all_entries_max = 3 * ENTRIES,
						    .output = &output };
	bool slow = input->left > 0 && *input->bytes & 0x80;

	memset(&world, 0, sizeof(world));
	/* A slow clock ends a turn after each piece of work. */
	fuzz_look_ns = slow ? 20000 : 100;
	fuzz_driver(input, &world.driver[0]);
	ring_driver_init(&world.driver[1], world.driver[0].packed, world.driver[0].size,
			 world.driver[0].features);
	if (virtio_gpu_create(&options, &world.device) != 0 || !start(0) || !start(1))
		abort();
}

static void end(void)
{
	stop(0);
	stop(1);
	virtio_gpu_destroy(world.device);
	for (unsigned i = 0; i < SCANOUTS; i++)
		assert(!world.picture[i]);
	ring_driver_finish(&world.driver[1]);
	fuzz_driver_finish(&world.driver[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz_input input = { bytes, size };

	begin(&input);
	for (unsigned i = 0; i < STEPS && input.left > 0; i++) {
		uint8_t step = fuzz_byte(&input);

		if (step < 0x20)
			host_step(&input);
		else
			add_command(&input);
		fuzz_turns(step % 4);
		collect(0);
		collect(1);
	}
	end();
	return 0;
}
