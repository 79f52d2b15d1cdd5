/* libxsmm as a library with a cblas-like face: code made at run time for the one shape, in row-major terms.
   Column-major C^T = B^T A^T is row-major C = A B, so the operands change places. */
#include <libxsmm.h>

/* 1 where libxsmm has code for the product, as it says itself: up to its own limit on m * n * k. */
int tilelab_made_for(char ta, char tb, int m, int n, int k) {
    if ((long long)m * n * k > LIBXSMM_MAX_MNK) return 0;
    int lda = ta == 'T' ? m : k, ldb = tb == 'T' ? k : n, ldc = n;
    int flags = (tb == 'T' ? LIBXSMM_GEMM_FLAG_TRANS_A : 0) | (ta == 'T' ? LIBXSMM_GEMM_FLAG_TRANS_B : 0);
    float alpha = 1, beta = 0;
    return libxsmm_smmdispatch(n, m, k, &ldb, &lda, &ldc, &alpha, &beta, &flags, 0) != 0;
}

/* Only for what tilelab_made_for says yes to: order 101, transposes 111 (no) and 112 (yes). */
void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                 int ldb, float beta, float *c, int ldc) {
    int flags = (tb == 112 ? LIBXSMM_GEMM_FLAG_TRANS_A : 0) | (ta == 112 ? LIBXSMM_GEMM_FLAG_TRANS_B : 0);
    libxsmm_smmfunction product = libxsmm_smmdispatch(n, m, k, &ldb, &lda, &ldc, &alpha, &beta, &flags, 0);
    (void)order;
    if (product) product(b, a, c);
}
