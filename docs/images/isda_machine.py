# SPDX-License-Identifier: Apache-2.0
"""The pictures of docs/isda.md that show what is computed where. A function a picture."""
from drawing import Picture

KINDS = ("first", "second", "third", "plain")


def expected_present(N, C):
    """How many of C classes have a label among N drawn evenly."""
    return C * (1 - (1 - 1 / C) ** N)


def per_class():
    N, C, A = 128, 100, 640
    K = expected_present(N, C)
    labels = (0, 1, 0, 2, 0, 1)
    names = ("cat", "dog", "car", "bird")
    picture = Picture(960, 440, "A covariance a sample, or a covariance a class", "Left: the dense form copies a class's covariance for every sample of a batch. Right: the form by class has one for each present class, makes one row of a table "
                      "of corrections of each, and the samples of the class all read that row; an absent class has none.")
    picture.panel(8, 8, 400, 424, "A sample at a time", "N copies of S; N × C × C products, 1 in C is kept")
    for i, label in enumerate(labels):
        y = 84 + 46 * i
        picture.dot(40, y + 17, KINDS[label], 6)
        picture.text(54, y + 22, names[label], "quiet")
        picture.arrow((92, y + 17), (122, y + 17))
        for copy in (6, 3, 0):
            picture.add("rect", f"{KINDS[label]} soft", x=128 + copy, y=y + copy / 3, width=32, height=32)
        picture.formula(176, y + 22, f"D_{i + 1} S D_{i + 1}^T")
        picture.arrow((250, y + 17), (274, y + 17))
        for j in range(4):
            for k in range(4):
                picture.add("rect", f"{KINDS[label]} {'faint' if j == k else 'thin'}", x=284 + 9 * k, y=y + 9 * j, width=8, height=8)
    dense = N * C * A**2 + N * C**2 * A
    picture.text(26, 382, "N C A² + N C² A multiply-adds", "name")
    picture.text(26, 404, f"{dense / 1e9:.2f} · 10⁹ for N = {N}, C = {C}, A = {A}", "quiet")

    picture.panel(420, 8, 532, 424, "A class at a time", "what corrects a logit depends on the sample only through its label")
    for c, name in enumerate(names):
        y, is_present = 102 + 62 * c, c < 3
        picture.add("rect", f"{KINDS[c]} {'soft' if is_present else 'thin dashed'}", x=440, y=y, width=36, height=36)
        picture.text(458, y - 5, f"S of {name}", f"quiet {KINDS[c]}", "middle")
        if is_present:
            picture.formula(486, y + 23, "D_c S_c = U_c")
            picture.arrow((582, y + 18), (612, y + 18))
        for j in range(4):
            picture.add("rect", f"{KINDS[c]} {'soft' if is_present else 'thin dashed'}", x=620 + 38 * j, y=y, width=38, height=36)
            if c == j and is_present:
                picture.text(639 + 38 * j, y + 23, "0", anchor="middle")
    picture.text(772, 90, "Q[c,j]", "quiet", "end")
    picture.text(486, 311, "absent: no work", "quiet")
    for i, label in enumerate(labels):
        y = 96 + 38 * i
        picture.dot(920, y + 6, KINDS[label], 6)
        picture.arrow((778, 120 + 62 * label), (910, y + 6), KINDS[label])
    picture.text(440, 382, "K C A² multiply-adds", "name")
    picture.text(440, 404, f"{K * C * A**2 / 1e9:.2f} · 10⁹, for the K = {K:.1f} classes that are expected to be present", "quiet")
    return picture


def gradients():
    picture = Picture(960, 470, "What flows forward, and which gradients flow back", "Forward: features update the statistics, which with the weights give U and Q; logits and Q give the augmented logits and the loss. Back: G goes to the features through the "
                      "logits alone, to the weights through the logits and, with both signs, through U; nothing goes through the statistics.")
    picture.panel(8, 8, 944, 454, "Thin: forward. Thick: gradients", "the statistics, of this batch and all before it, are constants of the loss")
    top, middle, bottom, height = 78, 222, 372, 60
    picture.box(150, top, 130, height, "n, μ, S", "of each class")
    picture.box(370, top, 170, height, "U_c = D_c S_c", "D_c[j] = w_j − w_c")
    picture.box(640, top, 190, height, "Q[c,j] = U_c[j] · D_c[j]", "of the present classes")
    picture.box(28, middle, 76, height, "x", "maps")
    picture.box(150, middle, 130, height, "F", "features")
    picture.box(420, middle, 150, height, "F W^T + b", "logits")
    picture.box(650, middle, 170, height, "z", "logits + (ratio/2) Q[y]")
    picture.box(866, middle, 70, height, "loss")
    picture.box(370, bottom, 130, height, "W, b", "parameters")
    line = middle + 20
    for begin, end in (((104, line), (150, line)), ((280, line), (420, line)), ((570, line), (650, line)), ((820, line), (866, line)),  # the features' way
                       ((190, middle), (190, top + height)), ((280, top + 20), (370, top + 20)), ((540, top + 20), (640, top + 20)), ((720, top + height), (720, middle)),
                       ((390, bottom), (390, top + height)), ((450, bottom), (450, middle + height))):
        picture.arrow(begin, end)
    back = middle + 44
    for begin, end in (((866, back), (820, back)), ((650, back), (570, back)), ((420, back), (280, back)), ((150, back), (104, back)),
                       ((482, middle + height), (482, bottom)), ((640, top + 44), (540, top + 44)), ((752, middle), (752, top + height))):
        picture.arrow(begin, end, "second bold")
    picture.path([(408, top + height), (408, bottom - 4)], "second line bold")
    picture.arrow((408, bottom - 12), (408, bottom), "second bold")
    for x, y, formula, anchor in ((843, back + 18, "G", "middle"), (610, back + 18, "G", "middle"), (333, back + 18, "dF = G W", "middle"), (127, back + 18, "dx", "middle"),
                                  (494, 338, "dW = G^T F,  db = Σ_i G[i]", "start"), (762, 186, "G_c: sums of G by class", "start")):
        picture.formula(x, y, formula, "second", anchor)
    for i, formula in enumerate(("dW[j] += ratio G_c[c,j] U_c[j]", "dW[c] −= ratio G_c[c,j] U_c[j]")):
        picture.formula(360, 322 + 22 * i, formula, "second", "end")
    picture.arrow((370, top + 44), (326, top + 44), "second dashed")
    picture.path([(312, top + 36), (328, top + 52)], "second line bold")
    picture.path([(328, top + 36), (312, top + 52)], "second line bold")
    picture.text(326, top + 80, "none", "second", "middle")
    picture.path([(160, middle - 12), (176, middle - 28)], "second line bold")
    picture.path([(176, middle - 12), (160, middle - 28)], "second line bold")
    picture.text(150, middle - 14, "none", "second", "end")
    return picture


def block_story(picture):
    picture.panel(8, 8, 944, 264, "By class: the story of one block", "up to 128 features: a block of 512 threads owns a class that is present, everything of it in shared memory")
    steps = [("find", "its samples,\nby ballot"), ("average", "pixels to\nfeatures"), ("merge", "μ, n and\nkeep S + Σ z zᵀ"), ("multiply", "U = D S\nand Q"), ("logits", "softmax, loss,\nhits, G"),
             ("gradients", "dF to dx;\ndW, db of c")]
    for i, (name, what) in enumerate(steps):
        x = 26 + 126 * i
        picture.add("rect", "first soft", x=x, y=146, width=108, height=74, rx=6)
        picture.text(x + 12, 166, name, "name")
        picture.lines(x + 12, 186, what)
        if i:
            picture.arrow((x - 18, 183), (x, 183))
    picture.add("rect", "second soft", x=806, y=146, width=128, height=74, rx=6)
    picture.text(818, 166, "sums", "name")
    picture.lines(818, 186, "over the classes:\na second launch")
    picture.arrow((764, 183), (806, 183), dashed=True)
    picture.add("rect", "box", x=26, y=80, width=908, height=30, rx=6)
    picture.text(38, 100, "memory", "name")
    for x, words, is_read in ((82, "labels", True), (208, "x, S, W", True), (334, "S, μ, n", False), (678, "dx, its share of dW", False), (844, "dW, db, loss", False)):
        picture.text(x + 8, 132, words, "quiet")
        picture.arrow(*(((x, 110), (x, 146)) if is_read else ((x, 146), (x, 110))))
    picture.text(26, 250, "Each S_c crosses the bus twice, once in and once out; U, logits, softmax and G never leave the block while there is room.", "quiet")


def covariance_stream(picture):
    y = 284
    picture.panel(8, y, 944, 316, "By parts: the stream of a covariance", "wider covariances: a block of 128 threads has 128 columns of one S_c, and walks down its rows, 16 at a time")
    left, top, size = 30, y + 74, 210
    picture.add("rect", "box", x=left, y=top, width=size, height=size)
    for part in range(1, 5):
        picture.path([(left + part * size / 5, top), (left + part * size / 5, top + size)], "axis")
    picture.add("rect", "first soft", x=left + 2 * size / 5, y=top, width=size / 5, height=size)
    for row, kind in ((84, "second soft"), (96, "first faint"), (108, "first faint"), (120, "first faint")):
        picture.add("rect", kind, x=left + 2 * size / 5, y=top + row, width=size / 5, height=11)
    picture.arrow((left + size / 2, top + 140), (left + size / 2, top + size - 8), "first")
    picture.text(left + size / 2, top + size + 20, "S_c, A × A: its parts, a block each", "quiet", "middle")
    x = 312
    picture.arrow((left + 3 * size / 5 + 2, top + 104), (x, top + 104), "first")
    picture.add("rect", "first soft", x=x, y=top + 66, width=122, height=76, rx=6)
    picture.text(x + 12, top + 88, "on their way", "name")
    picture.lines(x + 12, top + 108, "the next steps,\nby cp.async")
    picture.arrow((x + 122, top + 104), (x + 168, top + 104))
    picture.add("rect", "second soft", x=x + 168, y=top + 66, width=206, height=76, rx=6)
    picture.text(x + 180, top + 88, "in registers", "name")
    picture.formula(x + 180, top + 112, "S ← keep S + Σ_k z_k z_k^T")
    picture.text(x + 180, top + 132, "in f32", "quiet")
    picture.arrow((x + 374, top + 104), (x + 420, top + 104))
    picture.add("rect", "third soft", x=x + 420, y=top + 66, width=186, height=76, rx=6)
    picture.text(x + 432, top + 88, "tensor cores", "name")
    picture.formula(x + 432, top + 112, "U += (W − w_c) S")
    picture.text(x + 432, top + 132, "D_c: subtracted on loading", "quiet")
    picture.arrow((x + 246, top + 66), (x + 246, top + 22), "second")
    picture.text(x + 256, top + 38, "written back, once", "quiet")
    picture.arrow((x + 500, top + 142), (x + 500, top + 184), "third")
    picture.lines(x + 412, top + 204, "behind the last row: U_c, and what\nthese columns give to Q[c,j]")
    picture.text(276, top + 96, "read once", "quiet", "middle")


def kernels():
    picture = Picture(960, 608, "Two forms of the head on the card", "Above: a block owns a class, and goes from finding its samples over average, merge, product, logits to gradients; a second launch adds up over the classes. Below: a block "
                      "of the streaming pass has a strip of columns of one covariance; a step of rows is read, updated in registers, written back, and multiplied on tensor cores.")
    block_story(picture)
    covariance_stream(picture)
    return picture


PICTURES = {"isda_5_per_class": per_class, "isda_6_gradients": gradients, "isda_7_kernels": kernels}
